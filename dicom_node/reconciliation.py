"""Proof of delivery: what every destination says that it holds, beside what it was sent.

An archive that answered a C-STORE with Success may have lost the object since, and nothing in the queue would tell.
So the archive itself is asked, at instance level; what it misses is sent again where that is wanted.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from config.peers import STORED_OBJECTS
from config.settings import Settings
from dicom_node.errors import DeliveryFault
from dicom_node.holdings import Holdings, holdings_of
from storage import audit, reconciliation
from storage.folder import DataFolder
from storage.reconciliation import Expected
from storage.states import ARRIVED, State
from storage.steps import Step

FAULTS_IN_A_ROW = 3
"""An archive that cannot be asked about so many studies is asked no more: each may take minutes."""
MISSED = "answered with Success and missing when asked"

_log = structlog.get_logger()


class Verdict(StrEnum):
    """What is to be said of one object at one destination."""

    HELD = "held"
    MISSING = "missing"
    """The destination answered that it has it, and says now that it has not."""
    EXTRA = "extra"
    """The destination holds it in a series of ours and was never sent it under this UID."""
    IN_DOUBT = "in doubt"
    """It has not arrived yet, or the destination cannot be asked: see the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One object at one destination. `kind` and `delivery` are None for what the node did not send."""

    destination: str
    study_instance_uid: str
    sop_instance_uid: str
    verdict: Verdict
    kind: str | None = None
    delivery: int | None = None
    reason: str | None = None
    is_sent_again: bool = False


def reconcile(
    settings: Settings,
    folder: DataFolder,
    studies: Sequence[str],
    *,
    heal: bool,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Ask every archive for the results of these studies, one study after the other, and say what was found.

    Parameters
    ----------
    heal
        What is missing is queued to be sent again, where this node still has it.
    """
    for destination in settings.all_destinations:
        with holdings_of(settings, destination) as holdings:
            asked = _WhileItAnswers(holdings)
            for study in studies:
                with folder.database.read() as connection:
                    expected = reconciliation.expected_of(connection, study, destination.name, STORED_OBJECTS)
                kept = {each.delivery_id for each in expected if each.is_kept}
                for finding in compare(expected, asked):
                    is_healed = heal and finding.verdict is Verdict.MISSING and finding.delivery in kept
                    yield _heal(finding, folder, clock()) if is_healed else finding


class _WhileItAnswers:
    """Holdings that are asked no more once they could not be asked too often."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._faults: list[DeliveryFault] = []

    def instances(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> set[str]:
        if len(self._faults) == FAULTS_IN_A_ROW:
            raise self._faults[-1]
        try:
            held = self._holdings.instances(study_instance_uid, series_instance_uids)
        except DeliveryFault as fault:
            self._faults.append(fault)
            raise
        self._faults.clear()
        return held


def compare(expected: list[Expected], holdings: Holdings) -> list[Finding]:
    """Compare what one destination should hold of one study with what it holds."""
    if not expected:
        return []
    study, destination = expected[0].study_instance_uid, expected[0].destination
    try:
        held = holdings.instances(study, {each.series_instance_uid for each in expected})
    except DeliveryFault as fault:
        return [_finding(each, Verdict.IN_DOUBT, f"cannot be asked: {fault.reason}") for each in expected]
    found = []
    for each in expected:
        if each.sop_instance_uid in held:
            found.append(_finding(each, Verdict.HELD))
        elif each.state is State.DISMISSED:
            continue  # a person has decided that it need not arrive
        elif each.state in ARRIVED:
            gone = "" if each.is_kept else "; this node has removed it by [retention] days"
            found.append(_finding(each, Verdict.MISSING, MISSED + gone))
        else:
            found.append(
                _finding(each, Verdict.IN_DOUBT, each.state + (f": {each.reason}" if each.reason else ""))
            )
    unknown = held - {each.sop_instance_uid for each in expected}
    return found + [Finding(destination, study, uid, Verdict.EXTRA) for uid in sorted(unknown)]


def _finding(expected: Expected, verdict: Verdict, reason: str | None = None) -> Finding:
    return Finding(
        expected.destination,
        expected.study_instance_uid,
        expected.sop_instance_uid,
        verdict,
        expected.kind,
        expected.delivery_id,
        reason,
    )


def _heal(finding: Finding, folder: DataFolder, now: float) -> Finding:
    """Queue what a destination misses to be sent again."""
    if finding.delivery is None:
        return finding
    with folder.database.write(Step.FOUND_MISSING) as connection:
        is_queued = reconciliation.send_again(connection, finding.delivery, now, MISSED)
        if is_queued:
            audit.append(
                connection,
                now,
                "result_sent_again",
                destination=finding.destination,
                sop_instance_uid=finding.sop_instance_uid,
                reason=MISSED,
            )
    if is_queued:
        _log.warning(
            "result_sent_again", delivery=finding.delivery, destination=finding.destination, reason=MISSED
        )
    return replace(finding, is_sent_again=is_queued)
