"""The two promises, checked from outside when everything has come to rest: what was answered with Success, what the
node says of it, what lies in its data folder, and what the PACS holds.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from pydicom.dataset import Dataset

from config.peers import ResultKind
from storage import views
from storage.folder import DataFolder
from storage.states import OPEN, State
from tests.peers import NodeProcess, Pacs

ENDED = {State.DONE, State.COMMITTED, State.REJECTED, State.FAILED, State.DISMISSED}
ARRIVED = {State.DONE, State.COMMITTED}


def broken(
    node: NodeProcess, pacs: Pacs, answered: Collection[str], *, brought_by_others: Collection[str] = ()
) -> list[str]:
    """Say which promises do not hold, each in a sentence.

    Parameters
    ----------
    answered
        SOP Instance UIDs of radiographs that the node answered with Success.
    brought_by_others
        SOP Instance UIDs of what the PACS has from elsewhere.
    """
    folder = DataFolder.existing(node.folder / "data")
    try:
        return [
            *_of_radiographs(folder, pacs, answered),
            *_of_results(folder, pacs, set(brought_by_others)),
            *_of_verification(node),
        ]
    finally:
        folder.close()


def _stories(folder: DataFolder) -> list[dict[str, Any]]:
    """Everything that happened to every study."""
    with folder.database.read() as connection:
        studies = connection.exec_driver_sql("SELECT DISTINCT study_instance_uid FROM instances").scalars()
        return [views.study(connection, study) for study in studies.all()]


def _of_radiographs(folder: DataFolder, pacs: Pacs, answered: Collection[str]) -> list[str]:
    faults = []
    known = set()
    for story in _stories(folder):
        study = story["study_instance_uid"]
        films = [each for each in story["instances"] if each["stored_only"] is None]
        for film in films:
            uid, state = film["sop_instance_uid"], film["state"]
            known.add(uid)
            if state not in ENDED:
                faults.append(f"image {uid} has not ended: {state}")
            if (state == State.DONE) != (film["score"] is not None):
                faults.append(f"image {uid} is {state} and its score is {film['score']}")
            if state in (State.REJECTED, State.FAILED) and not film["reason"]:
                faults.append(f"image {uid} is {state} without a reason")
        to_report = {each["sop_instance_uid"] for each in films if not each["is_prior"]}
        if not to_report:
            continue
        last = max(story["reports"], key=lambda each: each["revision"], default=None)
        if last is None or last["state"] != State.DONE:
            faults.append(f"study {study} has no report that ended: {last}")
        else:
            reported = set().union(*map(_evidence, pacs.results(study)[0]))
            if missing := to_report - reported - _undelivered_images(story):
                faults.append(f"study {study}: no report in the PACS is of {sorted(missing)}")
    faults += [f"answered with Success and not known: {uid}" for uid in set(answered) - known]
    return faults


def _undelivered_images(story: dict[str, Any]) -> set[str]:
    """The images of a study whose report the PACS has not got, and a person is told why."""
    refused = [
        each
        for each in story["deliveries"]
        if each["kind"] == ResultKind.STRUCTURED_REPORT and each["state"] not in ARRIVED
    ]
    return {each["sop_instance_uid"] for each in story["instances"]} if refused else set()


def _evidence(report: Dataset) -> set[str]:
    """The images that a report names."""
    return {
        str(image.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }


def _of_results(folder: DataFolder, pacs: Pacs, brought_by_others: set[str]) -> list[str]:
    with folder.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT results.sop_instance_uid, sent_sop_instance_uid, destination, state, reason "
            "FROM results LEFT JOIN deliveries ON deliveries.result_id = results.id"
        ).all()
        open_rows = [
            f"{connection.exec_driver_sql(f'SELECT count(*) FROM {table} WHERE state = ?', (state,)).scalar()} "
            f"{table} are {state}"
            for table in ("jobs", "deliveries", "fetches")
            for state in (*OPEN, State.DELIVERED)
        ]
        studies = connection.exec_driver_sql(
            "SELECT study_instance_uid FROM instances UNION SELECT study_instance_uid FROM results"
        ).scalars()
        held = Counter(uid for study in studies for uid in pacs.uids(study))
    faults = [each for each in open_rows if not each.startswith("0 ")]
    faults += [f"result {row[0]} is {row.state} without a reason" for row in rows if _is_unexplained(row)]
    to_pacs = [row for row in rows if row.destination == "pacs"]
    arrived = {row[1] or row[0] for row in to_pacs if row.state in ARRIVED}
    sent = {row[1] or row[0] for row in to_pacs}
    faults += [f"in the PACS {times} times: {uid}" for uid, times in held.items() if times > 1]
    faults += [f"delivered, and not in the PACS: {uid}" for uid in arrived - held.keys()]
    faults += [f"in the PACS, and never sent: {uid}" for uid in held.keys() - sent - brought_by_others]
    return faults


def _is_unexplained(row: Any) -> bool:
    return row.state in (State.REJECTED, State.FAILED) and not row.reason


def _of_verification(node: NodeProcess) -> list[str]:
    """What the node's own check finds of its database, its audit trail and its objects."""
    ran = node.command("verify")
    return [] if ran.returncode == 0 else [ran.stdout + ran.stderr]
