"""Retention: what is finished, delivered and old goes; nothing else does."""

import pytest
from sqlalchemy import select, update

from storage import ledger, queue, reception, retention
from storage.engine import Database
from storage.folder import DataFolder
from storage.objects import ObjectStore
from storage.records import Difference, Receipt
from storage.schema import deliveries, instances, jobs, results
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, claim_delivery, instance, receive, report, result

LATER = NOW + 1000
AGES = NOW * 2


@pytest.fixture
def delivered(folder: DataFolder) -> tuple[DataFolder, str, str]:
    """A study that went the whole way: its radiograph and its report are in the store."""
    radiograph, made = folder.objects.put(b"radiograph").key, folder.objects.put(b"report").key
    receive(folder, instance(object_key=radiograph))
    analyse(folder)
    sent = result()
    report(folder, [type(sent)(sent.kind, sent.sop_class_uid, sent.sop_instance_uid, "2.25.9", made)])
    delivery = claim_delivery(folder)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.succeed(connection, deliveries, delivery.id, OWNER, NOW + 11, status=0)
    return folder, radiograph, made


def sweep(folder: DataFolder, before: float = LATER) -> int:
    return retention.remove_finished(folder.database, folder.objects, before, LATER)


def test_a_finished_delivered_and_old_study_loses_its_objects(delivered: tuple[DataFolder, str, str]) -> None:
    folder, radiograph, made = delivered
    assert sweep(folder) == 1
    assert not folder.objects.path(radiograph).exists()
    assert not folder.objects.path(made).exists()
    assert sweep(folder) == 0


def test_the_patients_name_goes_with_the_image(folder: DataFolder) -> None:
    kept = folder.objects.put(b"radiograph").key
    receive(folder, instance(object_key=kept, patient_name="Kowalska^Ewa", patient_id="P1", stored_only="x"))
    with folder.database.read() as connection:
        named = select(instances.c.patient_name, instances.c.patient_id)
        assert connection.execute(named).one() == ("Kowalska^Ewa", "P1")
    assert sweep(folder) == 1
    with folder.database.read() as connection:
        assert connection.execute(named).one() == ("", "P1")


def test_results_of_a_study_whose_images_were_moved_to_another_go_as_well(
    delivered: tuple[DataFolder, str, str],
) -> None:
    folder, _, made = delivered
    moved = instance(object_key=folder.objects.put(b"moved").key, sop_instance_uid="1.2.3.1", study="1.9")
    with folder.database.write(Step.BY_HAND) as connection:
        reception.receive(connection, moved, 0.0, NOW + 20, Difference.DATA)
    assert sweep(folder, before=NOW + 10) == 0
    assert sweep(folder) == 1
    assert not folder.objects.path(made).exists()


def test_a_young_study_stays(delivered: tuple[DataFolder, str, str]) -> None:
    folder, radiograph, _ = delivered
    assert sweep(folder, before=NOW) == 0
    assert folder.objects.path(radiograph).exists()


def test_an_old_study_goes_whatever_came_of_others_since(folder: DataFolder) -> None:
    keys = [deliver_study(folder, number) for number in (1, 2, 30)]
    late = folder.objects.put(b"late").key
    receive(folder, instance(9, "1.2.2", object_key=late), now=NOW + 600)
    assert sweep(folder, before=NOW + 500) == 1
    assert [folder.objects.path(key).exists() for key in (*keys, late)] == [False, True, True, True]


@pytest.mark.parametrize("state", [State.DONE, State.COMMITTED, State.DISMISSED])
def test_what_is_kept_by_its_archive_or_dismissed_by_a_person_goes(
    delivered: tuple[DataFolder, str, str], state: State
) -> None:
    folder, _, made = delivered
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(deliveries).values(state=state))
    assert sweep(folder) == 1
    assert not folder.objects.path(made).exists()


def deliver_study(folder: DataFolder, number: int) -> str:
    """Let a study of its own go the whole way, the higher its number the later; return its radiograph's key."""
    at = NOW + 20 * number
    key = folder.objects.put(b"radiograph %d" % number).key
    receive(folder, instance(number, f"1.2.{number}", object_key=key), now=at)
    analyse(folder, at + 1)
    report(folder, [result(number)], now=at + 10)
    delivery = claim_delivery(folder, now=at + 10)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.succeed(connection, deliveries, delivery.id, OWNER, at + 11, status=0)
    return key


def test_for_want_of_room_the_oldest_go_first_and_no_more_than_are_in_the_way(folder: DataFolder) -> None:
    keys = [deliver_study(folder, number) for number in (3, 1, 4, 2)]

    def is_enough() -> bool:
        return sum(folder.objects.path(key).exists() for key in keys) <= 2

    assert retention.remove_finished(folder.database, folder.objects, AGES, LATER, is_enough) == 2
    assert [folder.objects.path(key).exists() for key in keys] == [True, False, True, False]
    assert retention.remove_finished(folder.database, folder.objects, AGES, LATER, is_enough) == 0


@pytest.mark.parametrize(
    "state", [State.QUEUED, State.RUNNING, State.DELIVERED, State.FAILED, State.REJECTED]
)
def test_for_want_of_room_nothing_goes_that_is_not_delivered(folder: DataFolder, state: State) -> None:
    keys = [deliver_study(folder, number) for number in (1, 2)]
    with folder.database.write(Step.BY_HAND) as connection:
        of_first = select(results.c.id).where(results.c.study_instance_uid == "1.2.1")
        connection.execute(update(deliveries).where(deliveries.c.result_id.in_(of_first)).values(state=state))
    assert retention.remove_finished(folder.database, folder.objects, AGES, LATER) == 1
    assert [folder.objects.path(key).exists() for key in keys] == [True, False]


def test_a_study_that_goes_on_while_others_are_removed_stays(folder: DataFolder) -> None:
    keys = [deliver_study(folder, number) for number in (1, 2)]
    late = folder.objects.put(b"late").key

    def a_late_image_comes() -> bool:
        if folder.objects.path(keys[0]).exists():
            return False
        receive(folder, instance(3, "1.2.2", object_key=late), now=LATER)
        return False

    retention.remove_finished(folder.database, folder.objects, AGES, LATER, a_late_image_comes)
    assert [folder.objects.path(key).exists() for key in (*keys, late)] == [False, True, True]


UNFINISHED = [State.QUEUED, State.RUNNING, State.DELIVERED, State.FAILED, State.REJECTED]


@pytest.mark.parametrize("state", UNFINISHED)
def test_what_is_not_delivered_is_never_removed(delivered: tuple[DataFolder, str, str], state: State) -> None:
    folder, radiograph, made = delivered
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(deliveries).values(state=state))
    assert sweep(folder) == 0
    assert folder.objects.path(radiograph).exists()
    assert folder.objects.path(made).exists()


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED])
def test_what_is_not_finished_is_never_removed(delivered: tuple[DataFolder, str, str], state: State) -> None:
    folder, radiograph, _ = delivered
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(jobs).values(state=state))
    assert sweep(folder) == 0
    assert folder.objects.path(radiograph).exists()


def test_the_same_radiograph_sent_again_after_removal_is_not_analysed_again(
    delivered: tuple[DataFolder, str, str],
) -> None:
    folder, radiograph, _ = delivered
    sweep(folder)
    assert folder.objects.put(b"radiograph").key == radiograph
    assert receive(folder, instance(object_key=radiograph), now=LATER) is Receipt.DUPLICATE
    with folder.database.read() as connection:
        assert ledger.study_instances(connection, "1.2.3") == []
    assert retention.remove_orphans(folder.database, folder.objects, AGES, LATER) == 1
    assert not folder.objects.path(radiograph).exists()


def test_other_bytes_that_come_after_removal_do_not_bring_the_first_ones_back(
    delivered: tuple[DataFolder, str, str],
) -> None:
    folder, _, _ = delivered
    sweep(folder)
    other = folder.objects.put(b"other bytes").key
    assert receive(folder, instance(object_key=other), now=LATER) is Receipt.CONFLICT
    with folder.database.read() as connection:
        assert ledger.study_instances(connection, "1.2.3") == []


def test_what_no_row_needs_is_removed_and_nothing_else(delivered: tuple[DataFolder, str, str]) -> None:
    folder, radiograph, made = delivered
    orphan, aside = folder.objects.put(b"of a failed transaction").key, folder.objects.put(b"kept aside").key
    receive(folder, instance(object_key=aside), now=NOW + 20)
    assert retention.remove_orphans(folder.database, folder.objects, 0.0, LATER) == 0
    assert retention.remove_orphans(folder.database, folder.objects, AGES, NOW) == 1
    assert [folder.objects.path(key).exists() for key in (radiograph, made, aside, orphan)] == [True] * 3 + [
        False
    ]


def test_what_was_kept_aside_goes_after_its_own_time(delivered: tuple[DataFolder, str, str]) -> None:
    folder, _, _ = delivered
    sweep(folder)
    aside = folder.objects.put(b"kept aside").key
    receive(folder, instance(object_key=aside), now=LATER)
    assert retention.remove_orphans(folder.database, folder.objects, AGES, LATER) == 0
    assert retention.remove_orphans(folder.database, folder.objects, AGES, LATER + 1) == 1


def test_what_comes_again_while_nobody_needs_it_is_not_removed_under_its_sender(
    delivered: tuple[DataFolder, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for what is nobody's and its removal the same bytes are received, and answered with Success."""
    folder, _, _ = delivered
    key = folder.objects.put(b"nobody's, and then somebody's").key
    remove = retention._remove

    def come_again(database: Database, objects: ObjectStore, keys: set[str], aside_since: float) -> int:
        if key in keys:
            objects.put(b"nobody's, and then somebody's")
            receive(folder, instance(7, "9.9.9", object_key=key), now=LATER)
        return remove(database, objects, keys, aside_since)

    monkeypatch.setattr(retention, "_remove", come_again)
    assert retention.remove_orphans(folder.database, folder.objects, AGES, LATER) == 0
    assert folder.objects.holds(key)
