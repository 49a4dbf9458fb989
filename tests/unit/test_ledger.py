"""What happens to a radiograph in the database: received, analysed, reported, late, retried."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from storage import ledger, queue, reception, retention, views
from storage.errors import LeaseLost
from storage.folder import DataFolder
from storage.records import OWN_RESULT, Difference, JobKind, Receipt
from storage.schema import conflicting_objects, deliveries, instances, jobs, results
from storage.states import State
from storage.steps import Step
from tests.instances import (
    NOW,
    OWNER,
    PREDICTION,
    analyse,
    claim,
    claimed,
    instance,
    receive,
    report,
    result,
)
from tests.plans import planned


def count(folder: DataFolder, table: object) -> int:
    with folder.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_a_new_instance_gets_its_analysis_and_its_study_a_report(folder: DataFolder) -> None:
    assert receive(folder, instance()) is Receipt.NEW
    with folder.database.read() as connection:
        queued = connection.execute(
            select(jobs.c.kind, jobs.c.state, jobs.c.not_before).order_by(jobs.c.id)
        ).all()
    assert [tuple(row) for row in queued] == [
        ("analyse", State.QUEUED, NOW),
        ("report", State.QUEUED, NOW + 2),
    ]


def test_the_same_bytes_again_change_nothing_and_are_counted(folder: DataFolder) -> None:
    receive(folder, instance())
    assert receive(folder, instance(), now=NOW + 1) is Receipt.DUPLICATE
    assert (count(folder, instances), count(folder, jobs), count(folder, conflicting_objects)) == (1, 2, 0)
    with folder.database.read() as connection:
        assert connection.execute(select(instances.c.times_received)).scalar_one() == 2
        assert connection.execute(select(func.max(jobs.c.not_before))).scalar_one() == NOW + 2


def test_other_bytes_under_a_known_uid_are_kept_aside_once_and_not_analysed(folder: DataFolder) -> None:
    receive(folder, instance())
    other = instance(object_key="f" * 64)
    assert [receive(folder, other), receive(folder, other)] == [Receipt.CONFLICT, Receipt.CONFLICT]
    assert (count(folder, instances), count(folder, jobs), count(folder, conflicting_objects)) == (1, 2, 1)


def corrected(folder: DataFolder, now: float = NOW + 20, **changes: object) -> Receipt:
    """The first instance again, with the same pixels and other data."""
    arrived = instance(object_key="c" * 64, **changes)
    with folder.database.write(Step.BY_HAND) as connection:
        return reception.receive(connection, arrived, 2.0, now, Difference.DATA)


def test_what_others_than_its_source_and_the_archive_say_of_an_image_is_kept_aside(
    folder: DataFolder,
) -> None:
    receive(folder, instance())
    assert corrected(folder, source="elsewhere", patient_id="ANOTHER") is Receipt.CONFLICT
    with folder.database.read() as connection:
        kept = connection.execute(select(instances.c.object_key, instances.c.patient_id)).one()
    assert kept == (instance().object_key, instance().patient_id)
    assert claimed(folder, JobKind.ANALYSE, NOW + 20).object_key == instance().object_key
    for key in ("c", "d", "e"):  # the first of them was kept aside before
        arrived = instance(object_key=key * 64, source="archive")
        with folder.database.write(Step.BY_HAND) as connection:
            receipt = reception.receive(
                connection, arrived, 2.0, NOW + 30, Difference.DATA, from_archive=True
            )
        assert receipt is Receipt.CORRECTED
    assert corrected(folder) is Receipt.DUPLICATE
    assert count(folder, conflicting_objects) == 3


def test_a_corrected_image_is_analysed_and_reported_again(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1)])
    assert corrected(folder, accession_number="ACC2") is Receipt.CORRECTED
    job = claimed(folder, JobKind.ANALYSE, NOW + 20)
    assert job.object_key == "c" * 64
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, PREDICTION, NOW + 21)
    assert report(folder, [result(2)], now=NOW + 30).revision == 2
    with folder.database.read() as connection:
        kept = connection.execute(select(conflicting_objects)).one()
        assert connection.execute(select(instances.c.accession_number)).scalar_one() == "ACC2"
    assert (kept.object_key, kept.corrected_at) == (instance().object_key, NOW + 20)


def test_a_correction_takes_its_image_from_a_worker_that_looks_at_the_old_one(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    corrected(folder)
    with pytest.raises(LeaseLost), folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, PREDICTION, NOW + 1)
    assert claimed(folder, JobKind.ANALYSE, NOW + 20).object_key == "c" * 64


def test_a_sender_that_has_not_heard_of_a_correction_does_not_undo_it(folder: DataFolder) -> None:
    receive(folder, instance())
    corrected(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        again = reception.receive(connection, instance(), 2.0, NOW + 30, Difference.DATA)
    assert again is Receipt.DUPLICATE
    assert claimed(folder, JobKind.ANALYSE, NOW + 40).object_key == "c" * 64


def test_an_image_that_was_moved_to_another_study_is_reported_there(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1)])
    corrected(folder, study_instance_uid="1.9")
    job = claimed(folder, JobKind.ANALYSE, NOW + 20)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, PREDICTION, NOW + 21)
    reported = report(folder, [result(2)], now=NOW + 30)
    assert (reported.study_instance_uid, reported.revision) == ("1.9", 1)


def test_a_study_that_an_image_was_moved_out_of_is_reported_without_it_if_others_are_left(
    folder: DataFolder,
) -> None:
    for number in (1, 2):
        receive(folder, instance(number))
        analyse(folder)
    report(folder, [result(1)])
    corrected(folder, study_instance_uid="1.9")
    again = claimed(folder, JobKind.REPORT, NOW + 30)
    assert (again.study_instance_uid, again.revision) == ("1.2.3", 2)
    with folder.database.read() as connection:
        assert [film.sop_instance_uid for film in ledger.study_instances(connection, "1.2.3")] == ["1.2.3.2"]


@pytest.mark.parametrize("is_reported", [True, False])
def test_a_study_that_its_image_was_moved_out_of_still_has_its_story(
    folder: DataFolder, is_reported: bool
) -> None:
    receive(folder, instance())
    analyse(folder)
    if is_reported:
        report(folder, [result(1)])
    corrected(folder, study_instance_uid="1.9")
    with folder.database.read() as connection:
        assert views.find_study(connection, "1.2.3") == "1.2.3"
        stories = [views.study(connection, study) for study in ("1.2.3", "1.9")]
    assert [len(story["instances"]) for story in stories] == [0, 1]
    for story in stories:
        [moved] = story["kept_aside"]
        assert (moved["corrected_at"], moved["counts_in_study"]) == (NOW + 20, "1.9")


def test_other_bytes_that_say_the_same_are_a_duplicate(folder: DataFolder) -> None:
    receive(folder, instance())
    with folder.database.write(Step.BY_HAND) as connection:
        again = reception.receive(connection, instance(object_key="c" * 64), 2.0, NOW, Difference.NONE)
    assert (again, count(folder, conflicting_objects)) == (Receipt.DUPLICATE, 0)


def test_a_fetched_earlier_film_is_analysed_and_not_reported(folder: DataFolder) -> None:
    receive(folder, instance(is_prior=True))
    analyse(folder)
    assert claim(folder, JobKind.REPORT, NOW + 100) is None


def test_a_fetched_film_that_is_then_sent_to_be_read_is_reported(folder: DataFolder) -> None:
    receive(folder, instance(is_prior=True))
    analyse(folder)
    assert receive(folder, instance(), now=NOW + 10) is Receipt.NEW
    assert claim(folder, JobKind.REPORT, NOW + 12) is not None


def test_a_fetched_film_that_comes_otherwise_to_be_read_is_read_as_it_came(folder: DataFolder) -> None:
    receive(folder, instance(is_prior=True))
    analyse(folder)
    sent = instance(object_key="5" * 64)  # uncompressed, while the archive has it compressed
    assert receive(folder, sent, now=NOW + 10) is Receipt.NEW
    assert claimed(folder, JobKind.ANALYSE, NOW + 10).object_key == "5" * 64


def test_a_fetched_film_that_was_removed_and_is_then_sent_to_be_read_is_in_its_report(
    folder: DataFolder,
) -> None:
    receive(folder, instance(is_prior=True))
    analyse(folder)
    assert retention.remove_finished(folder.database, folder.objects, NOW + 1, NOW + 1) == 1
    assert receive(folder, instance(), now=NOW + 10) is Receipt.NEW
    with folder.database.read() as connection:
        [film] = ledger.study_instances(connection, "1.2.3")
    assert film.prediction == PREDICTION


PATIENT = {"patient_id": "P1", "issuer_of_patient_id": "A", "patient_birth_date": "19560704"}


def studies(folder: DataFolder, *described: dict[str, object]) -> list[str]:
    """Receive and analyse a study for each description; the earlier studies' scores of the last one, as text."""
    for number, changes in enumerate(described, start=1):
        receive(folder, instance(study=f"1.2.{number}", **{**PATIENT, **changes}))  # type: ignore[arg-type]
        job = claimed(folder, JobKind.ANALYSE)
        with folder.database.write(Step.BY_HAND) as connection:
            ledger.predicted(connection, job, OWNER, replace(PREDICTION, score=number / 10), NOW)
    with folder.database.read() as connection:
        found = ledger.priors(connection, f"1.2.{len(described)}", 3)
    return [f"{prior.study_date} {prior.score}" for prior in found]


def test_earlier_studies_of_a_patient_come_newest_first_and_not_too_many(folder: DataFolder) -> None:
    dates = ["20260101", "20260301", "20250101", "20260201", "20270101", "20260401"]
    found = studies(folder, *({"study_date": date} for date in dates))
    assert found == ["20260301 0.2", "20260201 0.4", "20260101 0.1"]


@pytest.mark.parametrize(
    "other",
    [
        {"patient_id": "P2"},
        {"issuer_of_patient_id": "B"},
        {"issuer_of_patient_id": ""},
        {"patient_birth_date": "19560705"},
        {"study_date": ""},
    ],
)
def test_what_may_be_another_patients_is_no_prior(folder: DataFolder, other: dict[str, object]) -> None:
    assert studies(folder, {"study_date": "20260101", **other}, {"study_date": "20260301"}) == []


@pytest.mark.parametrize("unknown", ["patient_id", "patient_birth_date"])
def test_a_patient_without_an_id_or_a_birth_date_has_no_priors(folder: DataFolder, unknown: str) -> None:
    nobody = {unknown: "", "study_date": "20260101"}
    assert studies(folder, nobody, nobody) == []


def test_a_study_of_which_the_images_name_two_patients_is_nobodys_prior(folder: DataFolder) -> None:
    another = instance(7, "1.2.1", **{**PATIENT, "patient_id": "P2", "study_date": "20260101"})  # type: ignore[arg-type]
    receive(folder, another, now=NOW + 99)
    assert studies(folder, {"study_date": "20260101"}, {"study_date": "20260301"}) == []


def test_what_is_only_stored_gets_neither_analysis_nor_report(folder: DataFolder) -> None:
    receive(folder, instance(stored_only="not_an_image"))
    assert (count(folder, instances), count(folder, jobs)) == (1, 0)


def test_the_nodes_own_result_coming_back_is_recognised(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()])
    receive(folder, instance(2, sop_instance_uid=result().sop_instance_uid), now=NOW + 20)
    with folder.database.read() as connection:
        reasons = connection.execute(select(instances.c.stored_only).order_by(instances.c.id)).scalars().all()
    assert reasons == [None, OWN_RESULT]
    assert claim(folder, JobKind.REPORT, NOW + 100) is None


def test_a_result_sent_in_another_form_is_recognised_too(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()])
    with folder.database.write(Step.BY_HAND) as connection:
        sent = queue.claim_delivery(connection, "pacs", OWNER, NOW + 10, 60.0)
        assert sent is not None
        queue.succeed(
            connection, deliveries, sent.id, OWNER, NOW + 10, status=0, sent_sop_instance_uid="2.25.77"
        )
    receive(folder, instance(2, sop_instance_uid="2.25.77"), now=NOW + 20)
    assert claim(folder, JobKind.ANALYSE, NOW + 100) is None


def test_every_result_goes_to_every_destination_once(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result(1), result(2, "heatmap")], ("pacs", "archive"))
    with folder.database.read() as connection:
        rows = connection.execute(select(results.c.kind, deliveries.c.destination).join(deliveries)).all()
    assert sorted(tuple(row) for row in rows) == [
        ("heatmap", "archive"),
        ("heatmap", "pacs"),
        ("structured_report", "archive"),
        ("structured_report", "pacs"),
    ]


def test_a_late_image_makes_a_further_revision_that_names_its_predecessor(folder: DataFolder) -> None:
    receive(folder, instance(1))
    analyse(folder)
    assert report(folder, [result(1)]).revision == 1
    receive(folder, instance(2), now=NOW + 60)
    analyse(folder, NOW + 60)
    late = claimed(folder, JobKind.REPORT, NOW + 70)
    assert late.revision == 2
    with folder.database.read() as connection:
        assert ledger.previous_result(connection, "1.2.3", "structured_report", 2) == result(1)
        assert ledger.previous_result(connection, "1.2.3", "structured_report", 1) is None


def test_who_got_a_message_of_an_earlier_report_is_known(folder: DataFolder) -> None:
    message = replace(result(1), kind="hl7_message")
    receive(folder, instance(1), quiet=0.0)
    analyse(folder)
    report(folder, [message, result(2)], ("ris",), NOW)
    with folder.database.read() as connection:
        told = {
            (kind, revision): ledger.destinations_of_earlier(connection, "1.2.3", kind, revision)
            for kind in ("hl7_message", "heatmap")
            for revision in (1, 2)
        }
    nobody: frozenset[str] = frozenset()
    assert told == {
        ("hl7_message", 1): nobody,
        ("hl7_message", 2): {"ris"},
        ("heatmap", 1): nobody,
        ("heatmap", 2): nobody,
    }


def test_an_image_that_comes_while_its_study_is_being_reported_is_in_the_next_revision(
    folder: DataFolder,
) -> None:
    receive(folder, instance(1))
    analyse(folder)
    running = claimed(folder, JobKind.REPORT, NOW + 10)
    receive(folder, instance(2), now=NOW + 10)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.reported(connection, running, OWNER, [(result(1), ())], NOW + 11)
    analyse(folder, NOW + 11)
    assert claimed(folder, JobKind.REPORT, NOW + 12).revision == 2


def test_the_report_sees_how_each_image_ended(folder: DataFolder) -> None:
    for number in (1, 2, 3):
        receive(folder, instance(number))
    analyse(folder)
    rejected, failed = claimed(folder, JobKind.ANALYSE), claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, jobs, rejected.id, OWNER, NOW, "lateral_view")
        queue.give_up(connection, jobs, failed.id, OWNER, NOW, "worker_died")
    with folder.database.read() as connection:
        seen = ledger.study_instances(connection, "1.2.3")
    assert [(each.state, each.reason, each.prediction and each.prediction.score) for each in seen] == [
        (State.DONE, None, 0.91),
        (State.REJECTED, "lateral_view", None),
        (State.FAILED, "worker_died", None),
    ]


def test_the_report_gets_a_prediction_as_it_was_made(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    with folder.database.read() as connection:
        [seen] = ledger.study_instances(connection, "1.2.3")
    assert seen.prediction == PREDICTION


def test_an_image_retried_by_hand_gets_its_study_a_new_report(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "worker_died")
    report(folder, [result(1)])
    with folder.database.write(Step.BY_HAND) as connection:
        assert ledger.retry_jobs(connection, [job.id], NOW + 50) == [job.id]
    analyse(folder, NOW + 50)
    assert claimed(folder, JobKind.REPORT, NOW + 50).revision == 2


def test_the_same_image_again_looks_at_no_jobs_but_those_of_its_study(folder: DataFolder) -> None:
    receive(folder, instance())
    with folder.database.write(Step.BY_HAND) as connection, planned(connection) as plans:
        reception.receive(connection, instance(), 5.0, NOW)
    of_jobs = [plan for plan, _ in plans if "jobs" in plan]
    assert of_jobs
    assert all("study_instance_uid=?" in plan for plan in of_jobs)
