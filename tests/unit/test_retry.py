"""When to try again: a table of cases, and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.retry import GiveUp, Policy, Retry, decide

DAY = 86400.0
JOBS = Policy(first_seconds=5.0, longest_seconds=3600.0, most_attempts=3)
DELIVERIES = Policy(first_seconds=2.0, longest_seconds=30.0, give_up_after_seconds=14 * DAY)


@pytest.mark.parametrize(
    ("policy", "attempts", "waited", "decision"),
    [
        (JOBS, 1, 0.0, Retry(105.0)),
        (JOBS, 2, 0.0, Retry(110.0)),
        (JOBS, 3, 0.0, GiveUp()),
        (JOBS, 1, 99 * DAY, Retry(105.0)),
        (DELIVERIES, 1, 0.0, Retry(102.0)),
        (DELIVERIES, 4, 0.0, Retry(116.0)),
        (DELIVERIES, 5, 0.0, Retry(130.0)),
        (DELIVERIES, 50_000, 13.9 * DAY, Retry(130.0)),
        (DELIVERIES, 2, 14 * DAY, GiveUp()),
    ],
)
def test_cases(policy: Policy, attempts: int, waited: float, decision: Retry | GiveUp) -> None:
    assert decide(policy, attempts, 100.0 - waited, 100.0, lambda: 1.0) == decision


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_longest_and_never_shorter_than_half_the_first(
    attempts: int, random: float
) -> None:
    decision = decide(DELIVERIES, attempts, 0.0, 0.0, lambda: random)
    assert isinstance(decision, Retry)
    assert 1.0 <= decision.at <= 30.0


def test_what_failed_together_is_not_tried_together() -> None:
    waits = {decide(DELIVERIES, 5, 0.0, 0.0, lambda share=share: share) for share in (0.0, 0.5, 1.0)}  # type: ignore[misc]
    assert waits == {Retry(15.0), Retry(22.5), Retry(30.0)}
