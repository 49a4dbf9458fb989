"""How a node is brought to each of its durable steps and killed there: one scenario for those that are reached alike.

A scenario plays one step: it starts a node that dies at the step, does what brings it there, and requires that it died
of SIGKILL. What is then left of the node is started again by the next one, or by the check of the promises.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from inference.card import SHIPPED
from storage.steps import Step
from tests.builders import encoded
from tests.faults.stage import SETTINGS, Stage
from tests.ports import free_port
from tests.report_sender import ReportSender, report

FROM_PACS = f"""
[[sources]]
name = "archive"
ae_title = "{PACS_AE_TITLE}"
hosts = ["127.0.0.1"]
{SETTINGS}
"""
REFUSED_FOR_GOOD = 0x0122
REPORT_PORT = free_port()
WITH_REPORTS = f"""{SETTINGS}
[hl7_reports]
enabled = true
port = {REPORT_PORT}
hosts = ["127.0.0.1"]
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play(stage, step, moment)` kills a node at each of `steps`."""

    steps: tuple[Step, ...]
    play: Callable[[Stage, Step, str], None]
    settings: str = SETTINGS
    of_pacs: str = ""


def radiograph(stage: Stage, step: Step, moment: str) -> None:
    # a node that starts syncs three folders
    stage.start_to_die(step, moment, times=4 if step is Step.FOLDER_SYNCED else 1)
    if stage.node.running:
        stage.send(stage.film(), calling="STRANGER" if step is Step.ASSOCIATION_REFUSED else "PACS")
    stage.require_killed()


def end(stage: Stage, step: Step, moment: str) -> None:
    stage.start_to_die(step, moment)
    stage.node.terminate()
    stage.require_killed()


def command(stage: Stage, step: Step, moment: str) -> None:
    study = str(stage.reported().StudyInstanceUID)
    if step is Step.BY_HAND:
        stage.command_to_die(step, moment, "report", study)
    else:
        stage.pacs.introduce(stage.node)
        stage.pacs.lose(stage.pacs.results(study)[0][0].SOPInstanceUID)
        stage.command_to_die(step, moment, "reconcile", study, "--heal")
        stage.node.command("reconcile", study, "--heal")


SWEEPS = {
    Step.LEASES_EXPIRED: ("expire_leases", 0),
    Step.BROUGHT_FORWARD: ("bring_forward", 0),
    Step.STUDIES_REMOVED: ("remove_finished_studies", 0),
    Step.OBJECTS_LET_GO: ("remove_finished_studies", 0),
    Step.OBJECT_REMOVED: ("remove_finished_studies", 0),
    Step.LEFTOVERS_REMOVED: ("remove_leftovers", 1),
    Step.COMMITMENTS_FORGOTTEN: ("forget_commitment_requests", 100),
    Step.HISTORY_FORGOTTEN: ("forget_history", 500),
}
"""The sweep that has the step, and how many days later it is."""


def sweep(stage: Stage, step: Step, moment: str) -> None:
    if step in (Step.STUDIES_REMOVED, Step.OBJECTS_LET_GO, Step.OBJECT_REMOVED):
        stage.reported()
    name, days_ahead = SWEEPS[step]
    stage.start_to_die(step, moment, sweep=name, days_ahead=days_ahead)
    stage.require_killed()


def clock(stage: Stage, step: Step, moment: str) -> None:
    stage.node.set_clock("+0")
    stage.start_to_die(step, moment)
    stage.send(stage.film())
    stage.node.set_clock("+3h")
    stage.require_killed()


def commitment(stage: Stage, step: Step, moment: str) -> None:
    if step in (Step.COMMITMENT_PUT_OFF, Step.COMMITMENT_OVERDUE):
        stage.pacs.forget("node")
    else:
        stage.pacs.introduce(stage.node)
    if step is Step.COMMITMENT_OVERDUE:
        stage.alter("UPDATE deliveries SET queued_at = queued_at - 2e6, delivered_at = delivered_at - 2e6")
    stage.start_to_die(step, moment)
    if step is not Step.COMMITMENT_OVERDUE:
        stage.send(stage.film())
    stage.require_killed()


def pacs_trouble(stage: Stage, step: Step, moment: str) -> None:
    if step is Step.DELIVERY_PUT_OFF:
        stage.node.write_config(free_port())
        radiograph(stage, step, moment)
    else:
        entity = AE(PACS_AE_TITLE)
        entity.supported_contexts = AllStoragePresentationContexts
        handlers = [(evt.EVT_C_STORE, lambda _event: REFUSED_FOR_GOOD)]
        refusing = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        stage.node.write_config(refusing.server_address[1])
        radiograph(stage, step, moment)
        refusing.shutdown()
    stage.node.write_config(stage.pacs.port)


def analysis_trouble(stage: Stage, step: Step, moment: str) -> None:
    data = stage.folder / "data"
    if step is Step.JOB_TRIED:
        stage.kill()
        stage.node.start("receive")
        stage.send(stage.film())
        [received] = data.glob("objects/*/*.dcm")
        hidden = received.rename(stage.folder / "hidden")
        stage.start_to_die(step, moment)
        stage.require_killed()
        hidden.rename(received)
    else:
        study = stage.reported().StudyInstanceUID
        stage.start_to_die(step, moment)
        shutil.rmtree(data / "incoming")
        (data / "incoming").symlink_to("/proc")  # where nobody can write, not even root
        stage.node.command("report", study)
        stage.require_killed()
        (data / "incoming").unlink()


def other_model(stage: Stage, step: Step, moment: str) -> None:
    study = stage.reported().StudyInstanceUID
    stage.alter(f"UPDATE predictions SET model_sha256 = '{'0' * 64}'")
    stage.start_to_die(step, moment)
    stage.node.command("report", study)
    stage.require_killed()


def earlier_films(stage: Stage, step: Step, moment: str) -> None:
    def film(date: str, birth_date: str = "19500102") -> Dataset:
        return stage.film(
            PatientID=f"{stage.folder.name} {step}", StudyDate=date, PatientBirthDate=birth_date
        )

    stage.pacs.introduce(stage.node)
    earlier = film("20240301")
    stage.pacs.hold(encoded(earlier))
    stage.held.add(str(earlier.SOPInstanceUID))
    if step is Step.FETCH_PUT_OFF:
        stage.node.write_config(free_port())
    stage.start_to_die(step, moment)
    # nobody can be asked for the films of somebody who was born then
    stage.send(film("20250301", "18500102" if step is Step.FETCH_REJECTED else "19500102"))
    stage.require_killed()
    stage.node.write_config(stage.pacs.port)


def final_report(stage: Stage, step: Step, moment: str) -> None:
    number = f"A {stage.folder.name}"[:16]
    stage.start_to_die(step, moment)
    film = stage.film(AccessionNumber=number)
    assert stage.send(film)
    stage.wait_for_rest()
    message = report(number)
    with contextlib.suppress(OSError), ReportSender(REPORT_PORT) as ris:
        ris.send(message)
        raise AssertionError("acknowledged by a node that was to be killed before")
    stage.require_killed()
    stage.node.start()
    with ReportSender(REPORT_PORT) as ris:
        assert ris.send(message) == ("AA", "M1", "")  # it was not acknowledged, so it comes again
    with closing(sqlite3.connect(stage.folder / "data" / "node.sqlite")) as database:
        verdicts = database.execute("SELECT study_instance_uid, is_positive, replaced_at FROM verdicts")
        assert verdicts.fetchall() == [(str(film.StudyInstanceUID), 1, None)]


SCENARIOS = {
    "radiograph": Scenario(
        (
            Step.MIGRATED,
            Step.NODE_STARTED,
            Step.DESTINATION_ASKED,
            Step.ASSOCIATION_REFUSED,
            Step.OBJECT_SYNCED,
            Step.OBJECT_MOVED,
            Step.FOLDER_SYNCED,
            Step.INSTANCE_RECEIVED,
            Step.MODEL_LOADED,
            Step.JOB_CLAIMED,
            Step.IMAGE_ANALYSED,
            Step.OBJECT_WRITTEN,
            Step.STUDY_REPORTED,
            Step.DELIVERY_CLAIMED,
            Step.RESULT_DELIVERED,
        ),
        radiograph,
    ),
    "audit": Scenario(
        (Step.AUDIT_SENT,),
        radiograph,
        f'{SETTINGS}[audit]\nsyslog_host = "127.0.0.1"\nsyslog_port = {free_port()}\nsyslog_protocol = "udp"',
    ),
    "end": Scenario((Step.NODE_STOPPED,), end),
    "command": Scenario((Step.BY_HAND, Step.FOUND_MISSING), command),
    "sweep": Scenario(tuple(SWEEPS), sweep, f"{SETTINGS}[retention]\ndays = 0"),
    "clock": Scenario((Step.CLOCK_FOLLOWED,), clock),
    "commitment": Scenario(
        (
            Step.COMMITMENT_PUT_OFF,
            Step.COMMITMENT_OVERDUE,
            Step.COMMITMENT_ASKED,
            Step.COMMITMENT_ANSWERED,
        ),
        commitment,
        FROM_PACS,
        of_pacs="storage_commitment = true",
    ),
    "pacs trouble": Scenario((Step.DELIVERY_PUT_OFF, Step.DELIVERY_ENDED), pacs_trouble),
    "analysis trouble": Scenario((Step.JOB_TRIED, Step.JOB_PUT_BACK), analysis_trouble),
    "final report": Scenario((Step.REPORT_READ,), final_report, WITH_REPORTS),
    "other model": Scenario((Step.MODEL_CHANGED,), other_model),
    "candidate": Scenario((Step.SHADOW_ANSWERED,), radiograph, f'{SETTINGS}shadow = "{SHIPPED}"'),
    "earlier films": Scenario(
        (Step.FETCH_CLAIMED, Step.FETCH_ASKED, Step.FETCH_ENDED, Step.FETCH_PUT_OFF, Step.FETCH_REJECTED),
        earlier_films,
        f'{FROM_PACS}[priors]\narchive = "pacs"',
    ),
}


def play(name: str, moment: str, stage: Stage) -> int:
    """Kill the stage's node at every step of this scenario; return how many times."""
    scenario = SCENARIOS[name]
    for step in scenario.steps:
        scenario.play(stage, step, moment)
    return len(scenario.steps)
