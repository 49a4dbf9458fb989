"""Whoever is wrong often waits; whoever came in before does not wait for others."""

import threading

import pytest

from dicom_node.web import passwords
from dicom_node.web.attempts import FREE, LONGEST_SECONDS, LONGEST_SECONDS_OF_NAME, MOST_KEPT, Attempts

HERE, THERE = "10.0.0.7", "10.0.0.8"


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def attempts(now: list[float]) -> Attempts:
    return Attempts(lambda: now[0])


def wrong(attempts: Attempts, name: str, address: str, times: int = 1) -> list[float]:
    return [attempts.begin(name, address) for _ in range(times)]


def test_people_mistype(attempts: Attempts) -> None:
    assert wrong(attempts, "vera", HERE, FREE) == [0.0] * FREE
    assert attempts.begin("vera", HERE) == 2.0


def test_each_further_one_costs_twice_the_wait_to_a_limit(attempts: Attempts, now: list[float]) -> None:
    wrong(attempts, "vera", HERE, FREE)
    waits = []
    for _ in range(12):
        waits.append(attempts.begin("somebody", HERE))
        now[0] += waits[-1]
        assert attempts.begin("somebody", HERE) == 0.0
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, *[LONGEST_SECONDS] * 3]


def test_a_stranger_keeps_nobody_out_who_came_in_there_before(attempts: Attempts, now: list[float]) -> None:
    attempts.begin("ralf", HERE)
    attempts.was_right("ralf", HERE)
    for number in range(200):
        wrong(attempts, "ralf", f"192.0.2.{number}", 3)
    assert attempts.begin("ralf", HERE) == 0.0
    assert 0 < attempts.begin("ralf", THERE) <= LONGEST_SECONDS_OF_NAME


def test_who_sits_where_somebody_came_in_before_is_slowed_down_for_that_name(attempts: Attempts) -> None:
    attempts.begin("ralf", HERE)
    attempts.was_right("ralf", HERE)
    assert wrong(attempts, "ralf", HERE, FREE) == [0.0] * FREE
    assert attempts.begin("ralf", HERE) > 0


def test_a_right_one_takes_no_mistake_back_that_was_made_for_others(attempts: Attempts) -> None:
    """Else who has a password of their own could guess those of others without end."""
    for name in ("anna", "ralf", "vera", "vera"):
        attempts.begin(name, HERE)
    attempts.begin("mallory", HERE)
    attempts.was_right("mallory", HERE)
    assert attempts.begin("anna", HERE) == 0.0
    assert attempts.begin("anna", HERE) > 0


def test_an_address_of_version_6_is_its_network(attempts: Attempts) -> None:
    for number in range(FREE):
        assert attempts.begin(f"name-{number}", f"2001:db8::{number}") == 0.0
    assert attempts.begin("another", "2001:db8::ffff") > 0
    assert attempts.begin("another", "2001:db8:0:1::1") == 0.0


def test_many_at_once_are_no_more_than_many_after_each_other(attempts: Attempts) -> None:
    let_through: list[float] = []
    ready = threading.Barrier(30)

    def attack() -> None:
        ready.wait()
        let_through.append(attempts.begin("anna", HERE))

    threads = [threading.Thread(target=attack) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert let_through.count(0.0) == FREE


def test_what_is_kept_has_a_limit(attempts: Attempts) -> None:
    for number in range(MOST_KEPT + 50):
        attempts.begin(str(number), f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(attempts._wrong) == MOST_KEPT


def test_passwords_that_are_checked_at_once_have_a_limit() -> None:
    """The others are told to come again: they would take all threads that answer pages."""
    held = [passwords._waiting.acquire(blocking=False) for _ in range(passwords.AT_ONCE + passwords.WAITING)]
    try:
        assert all(held)
        with pytest.raises(passwords.TooManyAtOnce):
            passwords.is_right("anything", None)
        with pytest.raises(passwords.TooManyAtOnce):
            passwords.hashed("anything")
    finally:
        for _ in held:
            passwords._waiting.release()
    assert not passwords.is_right("anything", None)


@pytest.mark.parametrize(
    ("password", "name", "fault"),
    [
        ("green lamp over the river", "a", None),
        ("grüne Lampe am Fluss", "ralf", None),
        ("x" * 257, "ralf", "must have at most 256 characters"),
        ("short", "ralf", "must have at least 12 characters"),
        ("aaaaaaaaaaaaaaaa", "ralf", "is too easily guessed"),
        ("Ralf-ralf-RALF", "ralf", "is too easily guessed"),
        ("password1234", "ralf", "is too easily guessed"),
        ("Passwort123456", "ralf", "is too easily guessed"),
        ("radiologradiolog", "ralf", "is too easily guessed"),
        ("qwertyqwerty123", "ralf", "is too easily guessed"),
    ],
)
def test_a_password_is_long_and_more_than_what_everybody_would_try(
    password: str, name: str, fault: str | None
) -> None:
    assert passwords.fault_of(password, name) == fault
