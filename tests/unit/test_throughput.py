"""What came and went by the hour, and how long it took: tallied as it happens, and alike where it is counted later."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from storage import queue, throughput
from storage.engine import MIGRATIONS, Database
from storage.folder import DataFolder
from storage.schema import score_counts, tallies
from storage.steps import Step
from storage.throughput import HOUR_SECONDS, Tallied, percentile
from storage.triggers import LATENCY_BOUNDS
from tests.instances import NOW, OWNER, analyse, claim_delivery, instance, receive, report, result

BEFORE_TALLIES = "0013"


def deliver(folder: DataFolder, at: float) -> None:
    delivery = claim_delivery(folder, now=at)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.arrived(connection, delivery.id, OWNER, at, awaits_commitment=False)


def a_study(folder: DataFolder) -> None:
    """Two images of one study, the second in the next hour; a report, and its delivery."""
    receive(folder, instance(1))
    receive(folder, instance(2), now=NOW + HOUR_SECONDS)
    receive(folder, instance(2), now=NOW + HOUR_SECONDS)  # the same again
    receive(folder, instance(3, "1.9", is_prior=True))
    for _ in range(3):
        analyse(folder, NOW + HOUR_SECONDS)
    report(folder, [result()], ("pacs",), NOW + HOUR_SECONDS + 10)
    deliver(folder, NOW + HOUR_SECONDS + 10.4)


def test_what_comes_and_goes_is_tallied_by_the_hour(folder: DataFolder) -> None:
    a_study(folder)
    with folder.database.read() as connection:
        first, second = throughput.hours_since(connection, NOW)
        assert throughput.hours_since(connection, NOW + HOUR_SECONDS) == [second]
        assert throughput.total(connection, Tallied.IMAGES) == 2
        assert throughput.total(connection, Tallied.STUDIES) == 1
    assert (first.begins_at, first.images, first.studies, first.reports, first.bytes) == (NOW, 1, 1, 0, 1000)
    assert (second.images, second.studies, second.reports, second.deliveries) == (1, 0, 1, 1)


def test_latencies_are_those_of_the_rows_and_of_their_buckets(folder: DataFolder) -> None:
    a_study(folder)
    with folder.database.read() as connection:
        delivered, reported = throughput.latencies(connection)
        assert throughput.report_seconds(connection, NOW) == [HOUR_SECONDS + 10]
        assert throughput.delivery_seconds(connection, NOW)["pacs"] == pytest.approx([0.4])
        assert throughput.delivery_seconds(connection, NOW + 2 * HOUR_SECONDS) == {}
    assert (delivered.destination, delivered.numbers[0], sum(delivered.numbers)) == ("pacs", 1, 1)
    assert reported.numbers[LATENCY_BOUNDS.index(7200.0)] == sum(reported.numbers) == 1
    assert (delivered.seconds, reported.seconds) == pytest.approx((0.4, HOUR_SECONDS + 10))


def test_a_database_of_before_is_tallied_as_if_it_had_been_at_the_time(folder: DataFolder) -> None:
    a_study(folder)
    old = Database(folder.folder / "old.sqlite")
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    with old.write(Step.BY_HAND) as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, BEFORE_TALLIES)
    with closing(sqlite3.connect(old.path)) as other, other:
        other.execute(f"ATTACH '{folder.database.path}' AS new")
        for table in ("instances", "jobs", "predictions", "results", "deliveries"):
            columns = ", ".join(row[1] for row in other.execute(f"PRAGMA main.table_info({table})"))
            other.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    old.migrate()
    kept = []
    for database in (folder.database, old):
        with database.read() as connection:
            kept.append(
                [sorted(map(tuple, connection.execute(select(each)))) for each in (tallies, score_counts)]
            )
    assert kept[0] == kept[1]
    assert all(kept[0])
    old.close()


def test_hours_of_long_ago_are_forgotten_and_what_all_make_together_is_not(folder: DataFolder) -> None:
    a_study(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        before = throughput.total(connection, Tallied.IMAGES)
        assert throughput.forget(connection, NOW) == 0
        assert throughput.forget(connection, NOW + 2 * HOUR_SECONDS) > 0
        assert throughput.hours_since(connection, 0.0) == []
        assert throughput.total(connection, Tallied.IMAGES) == before


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_are_numpy_s_by_nearest_rank(values: list[float], share: float) -> None:
    assert percentile(values, share) == np.percentile(values, 100 * share, method="inverted_cdf")


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([], 0.5) is None
