"""What a person does to the queue, by a command or on the pages: each in one transaction with its record in the trail.

`who` is what the audit trail says of that person: their `user`, and the `address` that they asked from, if any.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from config.settings import Settings
from storage import audit, ledger, pauses, queue, reception, views
from storage.engine import Database
from storage.pauses import Pause, Scope
from storage.schema import deliveries, jobs
from storage.steps import Step

Who: TypeAlias = Mapping[str, str]
Act: TypeAlias = Callable[[Database, Iterable[str] | None, Who, float], list[str]]

LONGEST_REASON = 200
"""Characters that somebody may write about a pause."""


def retry(database: Database, ids: Iterable[str] | None, who: Who, now: float) -> list[str]:
    """Queue jobs (j7) and deliveries (d7) again that failed, were rejected or dismissed, with all their attempts.

    None: everything that waits for a person. Returns the ids of those that were queued.
    """
    with database.write(Step.BY_HAND) as connection:
        job_ids, delivery_ids = views.waiting_for_a_person(connection) if ids is None else _numbers(ids)
        queued = [f"j{each}" for each in ledger.retry_jobs(connection, job_ids, now)]
        queued += [f"d{each}" for each in queue.retry_by_hand(connection, deliveries, delivery_ids, now)]
        if queued:
            audit.append(connection, now, "operator_retried", ids=queued, **who)
    return queued


def dismiss(database: Database, ids: Iterable[str] | None, who: Who, now: float) -> list[str]:
    """Give up what waits for a person: jobs (j7) that failed, deliveries (d7) that failed or were refused.

    None: all of it. Returns the ids of those that were given up.
    """
    with database.write(Step.BY_HAND) as connection:
        job_ids, delivery_ids = views.waiting_for_a_person(connection) if ids is None else _numbers(ids)
        dismissed = [f"j{each}" for each in queue.dismiss(connection, jobs, job_ids, now)]
        dismissed += [f"d{each}" for each in queue.dismiss(connection, deliveries, delivery_ids, now)]
        if dismissed:
            audit.append(connection, now, "operator_dismissed", ids=dismissed, **who)
    return dismissed


def report_again(database: Database, study_instance_uid: str, who: Who, now: float) -> bool:
    """Queue a further report of a study; return False where the node has no image of it any more, or never had."""
    with database.write(Step.BY_HAND) as connection:
        if not ledger.study_instances(connection, study_instance_uid):
            return False
        reception.queue_report(connection, study_instance_uid, now, now)
        audit.append(connection, now, "report_requested", study_instance_uid=study_instance_uid, **who)
    return True


def pause(database: Database, scope: Scope, destination: str, reason: str, who: Who, now: float) -> bool:
    """Stop all work, the analysis, or what goes to a destination; return False where that is stopped already."""
    with database.write(Step.BY_HAND) as connection:
        is_new = pauses.pause(connection, Pause(scope, destination, now, who["user"], reason))
        if is_new:
            told = {"scope": scope, "destination": destination, "reason": reason}
            audit.append(connection, now, "work_paused", **told, **who)
    return is_new


def resume(database: Database, scope: Scope, destination: str, who: Who, now: float) -> bool:
    """Let it go on; return False where it was not stopped by itself."""
    with database.write(Step.BY_HAND) as connection:
        was_paused = pauses.resume(connection, scope, destination)
        if was_paused:
            audit.append(connection, now, "work_resumed", scope=scope, destination=destination, **who)
    return was_paused


def in_words(paused: Pause) -> str:
    """Say what is paused, since when, by whom, and why."""
    what = {Scope.EVERYTHING: "everything", Scope.ANALYSIS: "the analysis"}
    named = what.get(paused.scope, f"what goes to {paused.destination}")
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(paused.since))
    return f"paused: {named}, since {since} by {paused.user}: {paused.reason}"


def destination_names(settings: Settings) -> list[str]:
    """Return the names of everything that a pause can be of, as the settings have them."""
    return [each.name for each in (*settings.all_destinations, *settings.hl7)]


def _numbers(ids: Iterable[str]) -> tuple[list[int], list[int]]:
    """Return the numbers of the jobs and of the deliveries among these ids."""
    named = list(ids)
    job_ids, delivery_ids = ([int(each[1:]) for each in named if each[0] == letter] for letter in "jd")
    return job_ids, delivery_ids
