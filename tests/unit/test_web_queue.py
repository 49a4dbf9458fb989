"""Where a study is, in a sentence, and its times: of every way that a study can go."""

from typing import Any

import pytest
from sqlalchemy import update

from dicom_node.web import timeline
from dicom_node.web.timeline import Span
from dicom_node.web.whereabouts import whereabouts
from storage import listing, queue, views
from storage.folder import DataFolder
from storage.listing import Subject
from storage.pauses import Pause, Scope
from storage.records import JobKind
from storage.schema import deliveries, jobs
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, claim_delivery, claimed, instance, receive, report, result

PAUSE = Pause(Scope.DESTINATION, "pacs", NOW, "anna", "new disks")


def story(folder: DataFolder) -> dict[str, Any]:
    with folder.database.read() as connection:
        return views.study(connection, "1.2.3")


def where(folder: DataFolder, now: float = NOW + 60, *paused: Pause) -> str:
    return whereabouts(story(folder), paused, now)


def deliver(folder: DataFolder, *, awaits_commitment: bool = False, now: float = NOW + 11) -> int:
    sent = claim_delivery(folder, now=now)
    assert sent is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.arrived(connection, sent.id, OWNER, now + 0.25, awaits_commitment=awaits_commitment, status=0)
    return sent.id


def test_a_study_is_followed_from_its_first_image_to_the_promise(folder: DataFolder) -> None:
    receive(folder, instance())
    assert where(folder).startswith("waits to be analysed since ")
    job = claimed(folder, JobKind.ANALYSE)
    assert where(folder) == "is being analysed"
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, jobs, job.id, OWNER, NOW + 100, "worker_died")
    assert where(folder).startswith("waits to be analysed; next at ")
    assert where(folder).endswith("ended or was killed, each time that it was tried.")
    analyse(folder, NOW + 100)
    assert where(folder).startswith("waits for its report since")
    report(folder, [result()], now=NOW + 110)
    assert where(folder, NOW + 120).startswith("waits to be delivered to pacs since ")
    assert where(folder, NOW + 120, PAUSE).endswith("by anna: new disks")
    deliver(folder, awaits_commitment=True, now=NOW + 120)
    said = where(folder)
    assert said.startswith("delivered to pacs ")
    assert said.endswith(".250, 120250 ms after it came; pacs has not yet promised to keep it")
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(update(deliveries).values(state=State.COMMITTED, ended_at=NOW + 130))
    assert where(folder).endswith("; pacs has promised to keep it")
    found = timeline.steps(story(folder))
    assert [each.name for each in found] == ["Received", "Analysed", "Reported", "Sent", "Committed"]
    assert [each.milliseconds for each in found] == [None, 100000.0, 10000.0, 10250.0, 9750.0]


def test_what_waits_for_a_person_comes_before_all_else(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1), result(2)])
    refused = claim_delivery(folder)
    assert refused is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, deliveries, refused.id, OWNER, NOW + 11, "C-STORE answered 0xC000")
    assert where(folder) == (
        "waits for a person: the structured report for pacs (d1) was not delivered. "
        "C-STORE answered 0xC000: it cannot understand or process the object."
    )
    with folder.database.write(Step.BY_HAND) as connection:
        queue.dismiss(connection, deliveries, [refused.id], NOW + 12)
    assert where(folder).startswith("waits to be delivered to pacs")
    deliver(folder)
    assert where(folder).startswith("delivered to pacs")


def test_a_job_that_failed_waits_for_a_person_and_is_then_given_up(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW + 1, "object_missing")
    assert where(folder).startswith("waits for a person: job j1 failed. Bytes that it needs are missing")
    with folder.database.write(Step.BY_HAND) as connection:
        queue.dismiss(connection, jobs, [job.id], NOW + 2)
    report(folder, [])
    assert where(folder) == "was given up by a person"


def test_a_study_that_no_destination_gets_says_so(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()], ())
    assert where(folder).startswith("was reported ") and where(folder).endswith(
        "no destination gets the results"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stored_only": "not_an_image"}, "is kept, and has nothing to be analysed"),
        ({"is_prior": True, "stored_only": "not_an_image"}, "was fetched as an earlier film"),
    ],
)
def test_what_is_not_reported_says_why(folder: DataFolder, changes: dict[str, Any], said: str) -> None:
    receive(folder, instance(1, **changes))
    assert where(folder).startswith(said)


def test_a_study_whose_images_were_moved_says_so(folder: DataFolder) -> None:
    assert "count in another study" in where(folder)


def test_what_is_drawn_stands_in_its_order_and_within_the_drawing(folder: DataFolder) -> None:
    receive(folder, instance(1))
    receive(folder, instance(2), NOW + 0.1)
    analyse(folder, NOW + 1)
    drawn = timeline.lanes(story(folder))
    assert [each.name for each in drawn] == ["image 1", "image 2", "report 1"]
    assert drawn[0].spans == [Span("waited", NOW, NOW + 1), Span("analysed", NOW + 1, NOW + 1)]
    assert drawn[1].spans[0].end is None  # it waits still
    places = timeline.positions(drawn, NOW + 10)
    assert list(places) == sorted(places) and list(places.values()) == sorted(places.values())
    assert (min(places.values()), max(places.values())) == (0.0, pytest.approx(timeline.WIDTH))
    assert timeline.positions([], NOW) == {}


def test_moments_tell_what_happened_and_how_long_after(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder, NOW + 1)
    report(folder, [result()], now=NOW + 10)
    deliver(folder)
    told = timeline.moments(story(folder))
    assert [(each.milliseconds, each.sentence) for each in told] == [
        (0.0, "image 1 received from pacs"),
        (1000.0, "image 1: analysis begun"),
        (0.0, "image 1: analysis done"),
        (9000.0, "report 1 begun"),
        (0.0, "report 1 done"),
        (1250.0, "structured report of report 1 to pacs: delivered"),
    ]


@pytest.fixture
def many(folder: DataFolder) -> DataFolder:
    for number in range(1, 8):
        receive(folder, instance(number, f"1.2.{number}"))
    for _ in range(3):
        analyse(folder)
    return folder


def test_a_list_is_read_page_by_page_and_nothing_is_left_out(
    many: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what is wanted is rarer than what is looked through at once."""
    monkeypatch.setattr(listing, "LOOKED_THROUGH", 3)
    for state, kind, expected in (
        (None, None, 14),
        (State.DONE, None, 3),
        (None, "report", 7),
        (State.QUEUED, "analyse", 4),
        (State.FAILED, None, 0),
    ):
        found: list[str] = []
        before, pages = None, 0
        while pages == 0 or before is not None:
            with many.database.read() as connection:
                page = listing.newest(connection, Subject.JOBS, 2, state=state, kind=kind, before=before)
            found += [each["id"] for each in page.rows]
            before, pages = page.older, pages + 1
        assert len(found) == len(set(found)) == expected, (state, kind)
        assert found == sorted(found, key=lambda each: -int(each[1:]))
