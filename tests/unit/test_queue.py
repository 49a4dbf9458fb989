"""Claims, leases and retries, as workers and senders rely on them."""

import pytest
from sqlalchemy import select

from storage import ledger, listing, queue, views
from storage.errors import LeaseLost
from storage.folder import DataFolder
from storage.records import JobKind, Result
from storage.schema import deliveries, jobs
from storage.states import State
from storage.steps import Step
from tests.instances import (
    NOW,
    OWNER,
    PREDICTION,
    analyse,
    claim,
    claim_delivery,
    claimed,
    instance,
    message,
    receive,
    report,
    result,
)


def report_twice(folder: DataFolder, first: Result, second: Result) -> None:
    """A study is reported, gets a further image, and is reported again."""
    receive(folder, instance(1))
    analyse(folder)
    report(folder, [first])
    receive(folder, instance(2), now=NOW + 20)
    analyse(folder, NOW + 20)
    report(folder, [second], now=NOW + 30)


def states(folder: DataFolder) -> list[tuple[str, str]]:
    with folder.database.read() as connection:
        return [
            tuple(row) for row in connection.execute(select(jobs.c.kind, jobs.c.state).order_by(jobs.c.id))
        ]


def test_a_job_is_claimed_by_one_worker_only(folder: DataFolder) -> None:
    receive(folder, instance())
    assert claim(folder, JobKind.ANALYSE, owner="one") is not None
    assert claim(folder, JobKind.ANALYSE, owner="other") is None


def test_jobs_are_claimed_in_the_order_of_their_arrival(folder: DataFolder) -> None:
    for number in (1, 2, 3):
        receive(folder, instance(number), now=NOW + number)
    order = [claimed(folder, JobKind.ANALYSE, NOW + 9).object_key for _ in range(3)]
    assert order == [f"{number:064x}" for number in (1, 2, 3)]


def test_a_job_put_off_is_not_claimed_before_its_time(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, jobs, job.id, OWNER, NOW + 5, "worker_died")
    assert claim(folder, JobKind.ANALYSE, NOW + 4.9) is None
    assert claimed(folder, JobKind.ANALYSE, NOW + 5).attempts == 2


def test_a_report_waits_for_the_one_before_it_that_is_tried_again(folder: DataFolder) -> None:
    receive(folder, instance(1), quiet=0.0)
    analyse(folder)
    first = claimed(folder, JobKind.REPORT)
    receive(folder, instance(2), quiet=0.0)
    analyse(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, jobs, first.id, OWNER, NOW + 5, "worker_died")
    assert claim(folder, JobKind.REPORT, NOW + 4) is None
    assert [claimed(folder, JobKind.REPORT, NOW + 5).revision, claim(folder, JobKind.REPORT, NOW + 5)] == [
        1,
        None,
    ]
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, first.id, OWNER, NOW + 6, "worker_died")
    assert claimed(folder, JobKind.REPORT, NOW + 6).revision == 2


def test_the_time_of_the_first_claim_stays_through_retries(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, jobs, job.id, OWNER, NOW + 5, "worker_died")
    assert claimed(folder, JobKind.ANALYSE, NOW + 5).first_claimed_at == job.first_claimed_at == NOW


def test_a_worker_that_lost_its_lease_cannot_write_its_result(folder: DataFolder) -> None:
    receive(folder, instance())
    late = claimed(folder, JobKind.ANALYSE, owner="late")
    with folder.database.write(Step.BY_HAND) as connection:
        assert queue.expire_leases(connection, jobs, NOW + 61, 3) == 1
    second = claimed(folder, JobKind.ANALYSE, NOW + 61, owner="second")
    with pytest.raises(LeaseLost), folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, late, "late", PREDICTION, NOW + 62)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, second, "second", PREDICTION, NOW + 62)


def test_a_lease_that_has_not_run_out_is_left_alone(folder: DataFolder) -> None:
    receive(folder, instance())
    claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        assert queue.expire_leases(connection, jobs, NOW + 59, 3) == 0


def test_an_image_that_kills_its_worker_every_time_ends_as_failed(folder: DataFolder) -> None:
    receive(folder, instance())
    for attempt in range(3):
        claimed(folder, JobKind.ANALYSE, NOW + attempt)
        with folder.database.write(Step.BY_HAND) as connection:
            queue.release_leases(connection, jobs, NOW + attempt, 3)
    assert states(folder)[0] == ("analyse", State.FAILED)


def test_a_killed_node_takes_its_work_back_without_waiting_for_the_lease(folder: DataFolder) -> None:
    receive(folder, instance())
    claimed(folder, JobKind.ANALYSE, owner="killed")
    with folder.database.write(Step.BY_HAND) as connection:
        queue.release_leases(connection, jobs, NOW + 1, 3)
    assert claim(folder, JobKind.ANALYSE, NOW + 1, owner="again") is not None


def test_a_report_waits_until_its_study_has_been_quiet(folder: DataFolder) -> None:
    receive(folder, instance(1), now=NOW)
    receive(folder, instance(2), now=NOW + 1.5)
    analyse(folder, NOW + 2)
    analyse(folder, NOW + 2)
    assert claim(folder, JobKind.REPORT, NOW + 3.4) is None
    assert claim(folder, JobKind.REPORT, NOW + 3.5) is not None


def test_a_report_waits_for_the_last_image_of_its_study(folder: DataFolder) -> None:
    receive(folder, instance(1))
    receive(folder, instance(2))
    analyse(folder)
    assert claim(folder, JobKind.REPORT, NOW + 100) is None
    analyse(folder)
    assert claim(folder, JobKind.REPORT, NOW + 100) is not None


def test_a_report_does_not_wait_for_another_study(folder: DataFolder) -> None:
    receive(folder, instance(1, study="1.2.3"))
    receive(folder, instance(2, study="1.2.4"))
    analyse(folder)
    assert claimed(folder, JobKind.REPORT, NOW + 100).study_instance_uid == "1.2.3"


def test_a_report_does_not_wait_for_an_image_that_failed(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "deadline_exceeded")
    assert claim(folder, JobKind.REPORT, NOW + 2) is not None


def test_a_delivery_is_claimed_only_for_its_destination(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()], ("pacs", "archive"))
    first = claim_delivery(folder, "pacs")
    assert first is not None and first.result == result()
    assert claim_delivery(folder, "pacs") is None
    assert claim_delivery(folder, "archive") is not None


def test_an_operator_can_retry_what_failed_and_what_was_rejected_and_nothing_else(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1), result(2), result(3)])
    with folder.database.write(Step.BY_HAND) as connection:
        for end in (queue.give_up, queue.reject):
            claimed_delivery = queue.claim_delivery(connection, "pacs", OWNER, NOW + 10, 60.0)
            assert claimed_delivery is not None
            end(connection, deliveries, claimed_delivery.id, OWNER, NOW + 11, "0xC000")
        assert queue.retry_by_hand(connection, deliveries, [1, 2, 3, 4], NOW + 20) == [1, 2]
    retried = claim_delivery(folder, now=NOW + 20)
    assert retried is not None


def test_an_operator_can_retry_and_dismiss_more_than_a_statement_has_parameters(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1), result(2)])
    every = list(range(1, 300_000))
    with folder.database.write(Step.BY_HAND) as connection:
        for _ in range(2):
            claimed_delivery = queue.claim_delivery(connection, "pacs", OWNER, NOW + 10, 60.0)
            assert claimed_delivery is not None
            queue.give_up(connection, deliveries, claimed_delivery.id, OWNER, NOW + 11, "0xC000")
        assert queue.dismiss(connection, deliveries, every, NOW + 20) == [1, 2]
        assert queue.retry_by_hand(connection, deliveries, every, NOW + 20) == [1, 2]


def test_the_wait_of_a_retried_delivery_starts_again(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()])
    delivery = claim_delivery(folder)
    assert delivery is not None
    later = NOW + 20 * 86400
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, deliveries, delivery.id, OWNER, later, "unreachable")
        queue.retry_by_hand(connection, deliveries, [delivery.id], later)
    again = claim_delivery(folder, now=later)
    assert again is not None and (again.queued_at, again.attempts) == (later, 1)


def test_a_message_waits_for_the_earlier_one_of_its_study(folder: DataFolder) -> None:
    report_twice(folder, message(1), message(2))
    first = claim_delivery(folder, now=NOW + 30)
    assert first is not None and first.result == message(1)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, deliveries, first.id, OWNER, NOW + 100, "archive is down")
    assert claim_delivery(folder, now=NOW + 40) is None
    again = claim_delivery(folder, now=NOW + 100)
    assert again is not None and again.id == first.id
    with folder.database.write(Step.BY_HAND) as connection:
        queue.succeed(connection, deliveries, first.id, OWNER, NOW + 101)
    second = claim_delivery(folder, now=NOW + 101)
    assert second is not None and second.result == message(2)


def test_a_message_that_was_refused_for_good_keeps_nothing_waiting(folder: DataFolder) -> None:
    report_twice(folder, message(1), message(2))
    first = claim_delivery(folder, now=NOW + 30)
    assert first is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, deliveries, first.id, OWNER, NOW + 31, "refused")
    second = claim_delivery(folder, now=NOW + 31)
    assert second is not None and second.result == message(2)


def test_an_object_does_not_wait_for_the_one_that_it_replaces(folder: DataFolder) -> None:
    report_twice(folder, result(1), result(2))
    first = claim_delivery(folder, now=NOW + 30)
    assert first is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, deliveries, first.id, OWNER, NOW + 100, "0xA700")
    second = claim_delivery(folder, now=NOW + 31)
    assert second is not None and second.result == result(2)


def test_what_a_person_has_dismissed_waits_for_nobody_and_can_still_be_sent(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()])
    delivery = claim_delivery(folder)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        assert queue.dismiss(connection, deliveries, [delivery.id], NOW) == []
        queue.reject(connection, deliveries, delivery.id, OWNER, NOW + 11, "0xC000")
        assert views.waiting_for_a_person(connection) == ([], [delivery.id])
        assert queue.dismiss(connection, deliveries, [delivery.id], NOW + 12) == [delivery.id]
        assert views.waiting_for_a_person(connection) == ([], [])
        assert queue.retry_by_hand(connection, deliveries, [delivery.id], NOW + 13) == [delivery.id]


def test_of_much_that_waits_for_a_person_the_newest_is_listed(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(number) for number in (1, 2, 3)])
    for _ in range(3):
        delivery = claim_delivery(folder)
        assert delivery is not None
        with folder.database.write(Step.BY_HAND) as connection:
            # the first is due last: the order of the queue is not that of the list
            queue.retry_later(connection, deliveries, delivery.id, OWNER, NOW + 100 - delivery.id, "busy")
    for _ in range(3):
        delivery = claim_delivery(folder, now=NOW + 100)
        assert delivery is not None
        with folder.database.write(Step.BY_HAND) as connection:
            queue.reject(connection, deliveries, delivery.id, OWNER, NOW + 101, "refused")
    with folder.database.read() as connection:
        listed = listing.list_jobs(connection, None, 2, for_a_person=True)
    assert [each["id"] for each in listed] == ["d3", "d2"]
