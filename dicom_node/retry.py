"""When to try again: a pure decision of what happened, how often, since when and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from config.sections import RetrySettings


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not before `at`."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop trying: a person has to look."""


Decision: TypeAlias = Retry | GiveUp


@dataclass(frozen=True, slots=True)
class Policy:
    """Exponential back-off: `first_seconds`, doubled each time, never more than `longest_seconds`.

    Gives up after `most_attempts`, or when it has been tried for `give_up_after_seconds`; None: not for that.
    """

    first_seconds: float
    longest_seconds: float
    most_attempts: int | None = None
    give_up_after_seconds: float | None = None


def delivery_policy(retry: RetrySettings) -> Policy:
    """How a result is tried again, and what an archive is asked about it."""
    return Policy(
        first_seconds=retry.deliver_first_seconds,
        longest_seconds=retry.deliver_longest_seconds,
        give_up_after_seconds=retry.deliver_give_up_seconds,
    )


def analysis_policy(retry: RetrySettings) -> Policy:
    """How a job is tried again."""
    return Policy(
        first_seconds=retry.analyse_first_seconds,
        longest_seconds=3600.0,
        most_attempts=retry.analyse_attempts,
    )


def longest_wait_seconds(policy: Policy) -> float:
    """Return the longest that this policy ever waits."""
    attempts = 1000 if policy.most_attempts is None else policy.most_attempts
    return wait_seconds(policy, attempts, lambda: 1.0)


def decide(policy: Policy, attempts: int, since: float, now: float, random: Callable[[], float]) -> Decision:
    """Decide after the `attempts`-th failure (1 is the first) of what has been waiting since `since`.

    `random` gives 0..1: the wait is spread over its upper half, so that what failed together is not tried together.
    """
    if policy.most_attempts is not None and attempts >= policy.most_attempts:
        return GiveUp()
    if policy.give_up_after_seconds is not None and now - since >= policy.give_up_after_seconds:
        return GiveUp()
    return Retry(now + wait_seconds(policy, attempts, random))


def wait_seconds(policy: Policy, attempts: int, random: Callable[[], float]) -> float:
    """Return how long to wait after the `attempts`-th failure, for what is never given up."""
    # 2 ** 1000 still is a number, and far beyond any longest wait
    wait = min(policy.longest_seconds, policy.first_seconds * 2.0 ** min(attempts - 1, 1000))
    return wait * (0.5 + random() / 2)
