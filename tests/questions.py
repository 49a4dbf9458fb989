"""Everything that a running node and its commands ask the database again and again, each under the name it goes by.

What comes from outside at all times has to cost the same with a million finished jobs as with none. Not among them:
what reads everything because that is what it is for (verify, backup, a comparison of models, the audit trail in full),
and what only ever finds little (the requests to archives of the last days).

`queue_work` puts into a folder what these questions are about: one of each kind of thing that waits.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from storage import (
    audit,
    commitment,
    echoes,
    fetches,
    films,
    ledger,
    listing,
    needed,
    queue,
    reception,
    reconciliation,
    retention,
    scores,
    studies,
    throughput,
    verdicts,
    views,
    waiting,
    worklist,
)
from storage.listing import Subject
from storage.records import Difference, Fetch, Job, JobKind, ReceivedInstance, Result, StoredPrediction
from storage.schema import deliveries, jobs
from storage.schema import fetches as fetches_table
from storage.states import State
from storage.throughput import Tallied
from storage.verdicts import Judgement, Verdict

OWNER = "asker"
DESTINATION = "pacs"
LEASE_SECONDS = 600.0
DAY_SECONDS = 86400.0
PREDICTION = StoredPrediction("0" * 64, 0.91, 0.35, 0.65, "likely", "right", {"rows": 1}, [[1, 2, 3, 4]])
WORKED_ON, WAITING, UNKNOWN = 1, 2, 3
"""Studies: one that is reported and not delivered, one that is not analysed, one that comes."""


def received(study: int, number: int = 0) -> ReceivedInstance:
    """Return one image of a study, as the receiver hands it on; what waits here has a number below a thousand."""
    uid = f"1.2.826.0.1.3680043.8.498.{study}"
    return ReceivedInstance(
        sop_instance_uid=f"{uid}.1.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        accession_number=f"A{study}",
        object_key=f"{study:060d}{number:04d}",
        size=10_000_000,
        source="modality",
        stored_only=None,
        patient_id=f"P{study}",
        patient_birth_date="19500101",
        study_date="20260101",
    )


def made(study: int) -> list[Result]:
    """Return what a report of the study is made of."""
    uid = f"2.25.{study}"
    return [
        Result(
            "structured_report", "1.2.840.10008.5.1.4.1.1.88.34", f"{uid}.1", f"{uid}.9", f"{study:063d}a"
        ),
        Result("heatmap", "1.2.840.10008.5.1.4.1.1.7", f"{uid}.2", f"{uid}.8", f"{study:063d}b"),
    ]


def analysed_and_reported(connection: Connection, study: int, now: float) -> None:
    """Bring a study, the only one that waits, to where its results are in the outbox.

    One film of it is answered, and a lateral view is not analysable.
    """
    for number in range(2):
        reception.receive(connection, received(study, number), 2.0, now)
        audit.append(connection, now, "instance_stored", **told(study, number))
    ledger.predicted(connection, job(connection, JobKind.ANALYSE, now + 1), OWNER, PREDICTION, now + 1)
    lateral = job(connection, JobKind.ANALYSE, now + 2)
    queue.reject(connection, jobs, lateral.id, OWNER, now + 2, "lateral_view")
    report = job(connection, JobKind.REPORT, now + 3)
    ledger.reported(connection, report, OWNER, [(each, [DESTINATION]) for each in made(study)], now + 3)


def deliver(connection: Connection, study: int, now: float) -> None:
    """Deliver what is in the outbox."""
    while (sent := queue.claim_delivery(connection, DESTINATION, OWNER, now, LEASE_SECONDS)) is not None:
        queue.arrived(connection, sent.id, OWNER, now, awaits_commitment=False, status=0)
        audit.append(connection, now, "result_delivered", **told(study, 0), status=0)


def queue_work(connection: Connection, now: float) -> None:
    """Let something of each kind wait since before `now`."""
    audit.append(connection, now - 60, "settings_noted", roles=["analyse"], settings={})
    audit.append(connection, now - 60, "association_refused", reason="unknown_source")
    analysed_and_reported(connection, WORKED_ON, now - 60)
    reception.receive(connection, received(WAITING), 2.0, now - 50)
    fetches.queue_fetch(connection, received(WAITING), now - 50)


def job(connection: Connection, kind: JobKind, now: float) -> Job:
    """Claim a job: there is one."""
    found = queue.claim_job(connection, [kind], OWNER, now, LEASE_SECONDS, retries=False)
    if found is None:
        raise RuntimeError(f"no {kind} job is due")
    return found


def told(study: int, number: int) -> dict[str, str]:
    """Return what the audit trail tells of an image."""
    image = received(study, number)
    return {
        "source": image.source,
        "ae_title": "MODALITY",
        "address": "192.0.2.1",
        "sop_class_uid": image.sop_class_uid,
        "sop_instance_uid": image.sop_instance_uid,
        "study_instance_uid": image.study_instance_uid,
    }


def _receive(connection: Connection, now: float) -> None:
    arrived = received(UNKNOWN)
    reception.known_object(connection, arrived.sop_instance_uid)
    reception.receive(connection, arrived, 2.0, now, is_urgent=True)
    fetches.queue_fetch(connection, arrived, now)
    audit.append(connection, now, "instance_stored", **told(UNKNOWN, 0))


def _analyse(connection: Connection, now: float) -> None:
    waiting.next_job(connection, retries=False)
    ledger.predicted(connection, job(connection, JobKind.ANALYSE, now), OWNER, PREDICTION, now)


def _report(connection: Connection, now: float) -> None:
    study = received(WORKED_ON).study_instance_uid
    reception.queue_report(connection, study, now, now)
    claimed = job(connection, JobKind.REPORT, now)
    ledger.answered_by_others(connection, study, "another")
    ledger.study_instances(connection, study)
    ledger.is_reported_later(connection, study, 2)
    ledger.previous_result(connection, study, "structured_report", 2)
    ledger.priors(connection, study, 3)
    ledger.destinations_of_earlier(connection, study, "hl7_message", 2)
    ledger.reported(connection, claimed, OWNER, [(each, [DESTINATION]) for each in made(UNKNOWN)], now)


def _deliver(connection: Connection, now: float) -> None:
    waiting.next_delivery(connection, DESTINATION)
    sent = queue.claim_delivery(connection, DESTINATION, OWNER, now, LEASE_SECONDS)
    if sent is None:
        raise RuntimeError("nothing to deliver")
    queue.arrived(connection, sent.id, OWNER, now, awaits_commitment=True, status=0)
    [awaited] = commitment.due(connection, DESTINATION, now, 100)
    commitment.asked(connection, DESTINATION, "2.25.7", [awaited], now + 60, now)
    request = commitment.answered(connection, "2.25.7", now)
    if request is None or not commitment.find(connection, request, [awaited.sop_instance_uid]):
        raise RuntimeError("nobody asked for the promise that came")
    commitment.commit(connection, awaited, now)


def _fetch(connection: Connection, now: float) -> None:
    waiting.next_fetch(connection)
    found: Fetch | None = queue.claim_fetch(connection, OWNER, now, LEASE_SECONDS)
    if found is None:
        raise RuntimeError("nothing to fetch")
    earlier = {received(UNKNOWN).sop_instance_uid: received(UNKNOWN).study_instance_uid}
    fetches.ask(connection, found, earlier)
    fetches.not_received(connection, list(earlier))
    fetches.is_asked_for(
        connection,
        sop_instance_uid=received(UNKNOWN).sop_instance_uid,
        study_instance_uid=received(UNKNOWN).study_instance_uid,
        patient_id=received(WAITING).patient_id,
        issuer_of_patient_id="",
        patient_birth_date=received(WAITING).patient_birth_date,
        study_date="20250101",
    )
    queue.succeed(connection, fetches_table, found.id, OWNER, now)


def _sweep(connection: Connection, now: float) -> None:
    for table in (jobs, deliveries, fetches_table):
        queue.expire_leases(connection, table, now, 3)
        queue.renew_leases(connection, table, now, LEASE_SECONDS)
        queue.bring_forward(connection, table, now, DAY_SECONDS)
    queue.bring_forward(connection, deliveries, now, DAY_SECONDS, State.DELIVERED)


def _retain(connection: Connection, now: float) -> None:
    retention.finished(connection, now - 30 * DAY_SECONDS)
    retention.finished(connection, now)
    study = received(WORKED_ON).study_instance_uid
    retention.may_go(connection, study, now)
    needed.is_needed(connection, received(WORKED_ON).object_key, now)
    needed.those_needed(connection, {received(WORKED_ON).object_key}, now)


def _start(connection: Connection, now: float) -> None:
    for table in (jobs, deliveries, fetches_table):
        queue.release_leases(connection, table, now, 3)
    commitment.ask_only(connection, ["vna"], now)
    commitment.ask_again(connection, now)
    next(audit.latest(connection, "settings_noted", "settings_changed"))
    views.open_deliveries(connection)


def _by_hand(connection: Connection, now: float) -> None:
    ids, _ = views.waiting_for_a_person(connection)
    ledger.retry_jobs(connection, [*ids, 1], now)
    queue.retry_by_hand(connection, deliveries, [1], now)
    queue.dismiss(connection, deliveries, [1], now)
    queue.dismiss(connection, jobs, [1], now)


def _show(connection: Connection, _now: float) -> None:
    for named in (
        "j1",
        "d1",
        "A1",
        received(WORKED_ON).sop_instance_uid,
        made(WORKED_ON)[0].sop_instance_uid,
        "1.2.3",
    ):
        found = views.find_study(connection, named)
        if found is not None:
            views.study(connection, found)


def _watch(connection: Connection, now: float) -> None:
    throughput.hours_since(connection, now - 30 * DAY_SECONDS)
    throughput.latencies(connection)
    throughput.total(connection, Tallied.STUDIES)
    throughput.report_seconds(connection, now - DAY_SECONDS)
    throughput.delivery_seconds(connection, now - DAY_SECONDS)
    model = scores.model_in_service(connection) or ""
    scores.of_devices(connection, model, now, 12)
    echoes.echoed(connection, DESTINATION, now, 3.0, None)
    echoes.latest(connection, DESTINATION, 24)
    echoes.answered_since(connection, DESTINATION, now - DAY_SECONDS)
    views.engine_in_use(connection)


def _list(connection: Connection, _now: float) -> None:
    for subject in Subject:
        listing.newest(connection, subject, 20)
        listing.newest(
            connection, subject, 20, state=State.DONE, destination=DESTINATION, kind="report", before=10**6
        )
    views.begins_at(connection)


def _judge(connection: Connection, now: float) -> None:
    study = received(WORKED_ON).study_instance_uid
    about = verdicts.answer_of(connection, study)
    if about is None or verdicts.is_being_answered(connection, study):
        raise RuntimeError("there is nothing to judge")
    verdicts.is_known(connection, study)
    verdicts.films_of(connection, study)
    verdicts.studies_of_order(connection, "A1")
    verdicts.has_message(connection, study, "192.0.2.1", "M1")
    verdicts.judge(connection, study, about, Judgement(Verdict.DISAGREE, "ralf", "192.0.2.1"), now)
    verdicts.of_study(connection, study)


def _count_verdicts(connection: Connection, now: float) -> None:
    _judge(connection, now)
    starts = [now - 30 * DAY_SECONDS, now - DAY_SECONDS]
    verdicts.answered_by_period(connection, starts)
    verdicts.truths_by_period(connection, starts)
    verdicts.disagreements(connection, starts[0], 100)


def _receive_again(connection: Connection, now: float) -> None:
    reception.receive(connection, received(WORKED_ON), 2.0, now)
    for key, difference in (("d" * 64, Difference.DATA), ("e" * 64, Difference.IMAGE)):
        changed = replace(received(WORKED_ON, 1), object_key=key)
        reception.receive(connection, changed, 2.0, now, difference)


QUESTIONS: dict[str, Callable[[Connection, float], Any]] = {
    "claim an analysis": lambda connection, now: job(connection, JobKind.ANALYSE, now),
    "claim a report or nothing": lambda connection, now: queue.claim_job(
        connection, [JobKind.REPORT], OWNER, now, LEASE_SECONDS, retries=False
    ),
    "claim a retry or nothing": lambda connection, now: queue.claim_job(
        connection, list(JobKind), OWNER, now, LEASE_SECONDS, retries=True
    ),
    "claim a delivery": lambda connection, now: queue.claim_delivery(
        connection, DESTINATION, OWNER, now, LEASE_SECONDS
    ),
    "status": views.status,
    "worklist": lambda connection, now: worklist.studies_since(connection, now - DAY_SECONDS),
    "worklist page": lambda connection, now: (
        studies.listed(connection, [received(study).study_instance_uid for study in (WORKED_ON, WAITING)]),
        studies.found_by(connection, "nobody", now - DAY_SECONDS),
    ),
    "study page": lambda connection, _: (
        films.films_of(connection, received(WORKED_ON).study_instance_uid),
        films.sent_of(connection, received(WORKED_ON).study_instance_uid),
    ),
    "list jobs": lambda connection, _: listing.list_jobs(connection, None, 20),
    "list jobs that failed": lambda connection, _: listing.list_jobs(connection, State.FAILED, 20),
    "list jobs that are done": lambda connection, _: listing.list_jobs(connection, State.DONE, 20),
    "list jobs for a person": lambda connection, _: listing.list_jobs(
        connection, None, 20, for_a_person=True
    ),
    "list page by page": _list,
    "show a study": _show,
    "receive an image": _receive,
    "receive an image again": _receive_again,
    "analyse": _analyse,
    "report": _report,
    "deliver, and hear that it is kept": _deliver,
    "fetch earlier films": _fetch,
    "is there time for a candidate": lambda connection, now: (
        waiting.is_busy(connection, now),
        ledger.next_in_shadow(connection),
    ),
    "sweep": _sweep,
    "what may be removed": _retain,
    "what was made and arrived since yesterday": lambda connection, now: (
        reconciliation.studies_reported(connection, now - DAY_SECONDS / 24, now),
        reconciliation.studies_delivered(connection, now - DAY_SECONDS / 24, now),
    ),
    "how the node does": _watch,
    "take back at the start": _start,
    "retry and dismiss": _by_hand,
    "judge a study": _judge,
    "what was judged since last month": _count_verdicts,
}
