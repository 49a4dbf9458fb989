"""Scores by device and week beside those of the device's first films: counted right, and judged right.

The second opinions are scipy's: relative entropy for the index, the chi-square distribution for what chance does.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sqlalchemy import insert, select, update

from dicom_node import drift
from dicom_node.drift import DRIFTED_FROM, FEWEST_FILMS, Verdict, joined, judged, stability_index
from storage import scores
from storage.folder import DataFolder
from storage.schema import devices, instances, predictions, score_counts
from storage.scores import DeviceScores, Week
from storage.steps import Step
from storage.triggers import MOST_DEVICES, REFERENCE_FILMS, SCORE_BINS, WEEK_SECONDS
from tests.instances import NOW, instance

MODEL = "a" * 64
MONDAY = 1_799_625_600.0  # 2027-01-11 00:00 UTC
HISTOGRAMS = st.lists(st.integers(0, 300), min_size=SCORE_BINS, max_size=SCORE_BINS).filter(any)


def films(chance: np.random.Generator, number: int, ill: float = 0.2) -> list[int]:
    """A histogram of the scores of so many films, of which a share is ill."""
    is_ill = chance.random(number) < ill
    drawn = np.where(is_ill, chance.beta(5, 1.2, number), chance.beta(0.6, 3, number))
    return [int(each) for each in np.histogram(drawn, SCORE_BINS, (0, 1))[0]]


def device(reference: list[int], *weeks: list[int]) -> drift.Device:
    counted = (Week(MONDAY + place * WEEK_SECONDS, tuple(numbers)) for place, numbers in enumerate(weeks))
    return judged(DeviceScores(1, "device", tuple(reference), tuple(counted)))


@given(HISTOGRAMS, HISTOGRAMS)
def test_the_index_is_the_relative_entropy_both_ways(reference: list[int], numbers: list[int]) -> None:
    index, by_chance = stability_index(reference, numbers)
    classes = joined(reference)
    p, q = (np.array([sum(each[begin:end]) + 0.5 for begin, end in classes]) for each in (numbers, reference))
    assert index == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), abs=1e-12)
    if len(classes) > 1:
        expected = (1 / p.sum() + 1 / q.sum()) * stats.chi2.ppf(0.999, len(classes) - 1)
        assert by_chance == pytest.approx(expected, rel=1e-3)


@given(HISTOGRAMS)
def test_classes_hold_every_score_once_and_parts_with_many_films_stand_alone(reference: list[int]) -> None:
    classes = joined(reference)
    assert [place for begin, end in classes for place in range(begin, end)] == list(range(SCORE_BINS))
    least = 0.05 * sum(reference)
    for begin, end in classes:
        assert end == begin + 1 or all(each < least for each in reference[begin:end])


def test_chance_alone_raises_hardly_an_alarm_in_a_thousand_weeks() -> None:
    chance, alarms, weeks = np.random.default_rng(1), 0, 3000
    for _ in range(weeks):
        index, by_chance = stability_index(films(chance, REFERENCE_FILMS), films(chance, 100))
        alarms += index >= max(DRIFTED_FROM, by_chance)
    assert alarms < 0.005 * weeks


def test_a_device_whose_patients_are_others_is_seen() -> None:
    chance = np.random.default_rng(2)
    found = [device(films(chance, 500), films(chance, 200, ill=0.5)).verdict for _ in range(100)]
    assert found.count(Verdict.DRIFTED) >= 90


def test_one_week_that_has_begun_ends_no_alarm_and_two_calm_ones_do() -> None:
    chance = np.random.default_rng(3)
    first, calm, other = films(chance, 500), films(chance, 200), films(chance, 200, ill=0.9)
    assert device(first, calm, other).verdict is Verdict.DRIFTED
    assert device(first, calm, other, films(chance, FEWEST_FILMS - 1)).verdict is Verdict.DRIFTED
    assert device(first, calm, other, calm).verdict is Verdict.DRIFTED
    assert device(first, other, calm, calm).verdict is Verdict.STEADY


def test_nothing_is_said_before_there_is_enough_to_say_it_by() -> None:
    chance = np.random.default_rng(4)
    other = films(chance, 200, ill=0.9)
    assert device(films(chance, REFERENCE_FILMS - 1), other).verdict is Verdict.LEARNING
    few = device(films(chance, 500), films(chance, FEWEST_FILMS - 1, ill=0.9))
    assert (few.verdict, few.index) == (Verdict.TOO_FEW, None)
    assert device(films(chance, 500)).verdict is Verdict.TOO_FEW


def test_films_that_go_where_none_were_are_seen() -> None:
    low, high = [500, *[0] * (SCORE_BINS - 1)], [*[0] * (SCORE_BINS - 1), 200]
    for first, other in ((low, high), (high, low)):
        assert device([each * 500 // sum(first) for each in first], other).verdict is Verdict.DRIFTED
        assert device([each * 500 // sum(first) for each in first], first).verdict is Verdict.STEADY


def answer(folder: DataFolder, score: float, at: float, *numbers: int, **image: object) -> None:
    """Let images of these numbers have a score, as the node writes it."""
    with folder.database.write(Step.BY_HAND) as connection:
        for number in numbers:
            received = instance(number, **{"device": "maker model", **image})
            values = {name: getattr(received, name) for name in received.__slots__}
            row = connection.execute(
                insert(instances).values(**values, received_at=at, times_received=1).returning(instances.c.id)
            ).scalar_one()
            told = {"score": score, "uncertain_from": 0.3, "likely_from": 0.7, "answer": "likely"}
            made = {"attention": {}, "regions": [], "model_sha256": MODEL, "created_at": at}
            connection.execute(insert(predictions).values(instance_id=row, **told, **made))


def found(folder: DataFolder, now: float = NOW, weeks: int = 12) -> dict[str, DeviceScores]:
    with folder.database.read() as connection:
        return {each.name: each for each in scores.of_devices(connection, MODEL, now, weeks)}


def test_scores_are_counted_by_device_week_and_part_of_the_range(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        for name in ("maker model", "pacs"):
            row = connection.execute(insert(devices).values(name=name).returning(devices.c.id)).scalar_one()
            values = {"model_sha256": MODEL, "week": 0, "device_id": row, "bin": 3}
            connection.execute(insert(score_counts).values(**values, number=REFERENCE_FILMS))
    answer(folder, 0.0, MONDAY - 1, 1)
    answer(folder, 0.049, MONDAY, 2)
    answer(folder, 1.0, MONDAY + WEEK_SECONDS - 1, 3)
    answer(folder, 0.5, MONDAY, 4, device="")  # a film that names no device goes by its source
    answer(folder, 0.5, MONDAY, 5, is_prior=True)
    by_device = found(folder, MONDAY)
    assert by_device.keys() == {"maker model", "pacs"}
    before, week = by_device["maker model"].weeks
    assert (before.begins_at, week.begins_at) == (MONDAY - WEEK_SECONDS, MONDAY)
    assert (before.numbers[0], sum(before.numbers)) == (1, 1)
    assert (week.numbers[0], week.numbers[SCORE_BINS - 1], sum(week.numbers)) == (1, 1, 2)
    [week] = by_device["pacs"].weeks
    assert (week.numbers[10], sum(week.numbers)) == (1, 1)
    assert len(found(folder, MONDAY, weeks=1)["maker model"].weeks) == 1


def test_the_first_films_are_what_later_ones_are_compared_with(folder: DataFolder) -> None:
    answer(folder, 0.1, MONDAY, 0)
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(score_counts).values(number=REFERENCE_FILMS - 2))
    answer(folder, 0.9, MONDAY, 1, 2, 3)
    counted = found(folder, MONDAY)["maker model"]
    assert sum(counted.reference) == REFERENCE_FILMS
    assert [sum(week.numbers) for week in counted.weeks] == [1]
    with folder.database.write(Step.BY_HAND) as connection:
        assert scores.begin_anew(connection, MODEL, counted.id) == REFERENCE_FILMS + 1
    answer(folder, 0.9, MONDAY, 4)
    counted = found(folder, MONDAY)["maker model"]
    assert (sum(counted.reference), counted.weeks) == (1, ())


def test_whoever_sends_names_without_end_does_not_fill_the_table(folder: DataFolder) -> None:
    for number in range(MOST_DEVICES + 5):
        answer(folder, 0.5, MONDAY, number, device=f"device {number}")
    counted = found(folder, MONDAY)
    assert len(counted) == MOST_DEVICES + 1
    assert sum(counted[scores.OTHERS].reference) == 5
    answer(folder, 0.5, MONDAY, 1000, device="device 7")
    assert sum(found(folder, MONDAY)["device 7"].reference) == 2


def test_weeks_of_long_ago_are_forgotten_and_the_first_films_are_not(folder: DataFolder) -> None:
    answer(folder, 0.5, MONDAY, 1)
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(score_counts).values(number=REFERENCE_FILMS))
    answer(folder, 0.5, MONDAY, 2)
    with folder.database.write(Step.BY_HAND) as connection:
        assert scores.forget(connection, MONDAY + scores.KEPT_WEEKS * WEEK_SECONDS) == 0
        assert scores.forget(connection, MONDAY + (scores.KEPT_WEEKS + 1) * WEEK_SECONDS) == 1
        assert list(connection.execute(select(score_counts.c.week)).scalars()) == [0]


def test_an_index_that_chance_makes_large_in_a_small_week_is_no_drift() -> None:
    chance = np.random.default_rng(5)
    found = [device(films(chance, 500), films(chance, FEWEST_FILMS)) for _ in range(200)]
    assert sum((each.index or 0) >= DRIFTED_FROM for each in found) > 20
    assert sum(each.verdict is Verdict.DRIFTED for each in found) <= 2
