"""What an administrator learns of a candidate that ran beside the model in service."""

from dataclasses import replace
from typing import Any

from storage import ledger
from storage.comparison import comparisons
from storage.folder import DataFolder
from storage.records import JobKind, ShadowAnswer
from storage.steps import Step
from tests.instances import NOW, OWNER, PREDICTION, claimed, instance, receive

CANDIDATE = ShadowAnswer("candidate", "2.0", "c" * 64, 0.9, "likely", None)


def both_answer(
    folder: DataFolder, number: int, score: float, answer: str, in_shadow: ShadowAnswer, sha256: str = "sha"
) -> None:
    receive(folder, instance(number))
    job = claimed(folder, JobKind.ANALYSE)
    assert job.instance_id is not None
    in_service = replace(PREDICTION, score=score, answer=answer, model_sha256=sha256)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, in_service, NOW)
        ledger.shadowed(connection, job.instance_id, in_shadow, NOW)


def said(score: float, answer: str) -> ShadowAnswer:
    return replace(CANDIDATE, score=score, answer=answer)


def silent(reason: str) -> ShadowAnswer:
    return replace(CANDIDATE, score=None, answer=None, reason=reason)


def compared(folder: DataFolder, most: int = 10) -> list[dict[str, Any]]:
    with folder.database.read() as connection:
        return comparisons(connection, most)


def test_without_a_candidate_there_is_nothing_to_compare(folder: DataFolder) -> None:
    assert compared(folder) == []


def test_the_answers_of_both_are_counted_and_those_it_gave_none_to_by_reason(folder: DataFolder) -> None:
    both_answer(folder, 1, 0.9, "likely", said(0.8, "likely"))
    both_answer(folder, 2, 0.9, "likely", said(0.8, "likely"))
    both_answer(folder, 3, 0.5, "uncertain", said(0.1, "unlikely"))
    both_answer(folder, 4, 0.9, "likely", silent("deadline_exceeded"))
    [comparison] = compared(folder)
    assert {name: comparison[name] for name in ("name", "version", "sha256", "in_service_sha256")} == {
        "name": "candidate",
        "version": "2.0",
        "sha256": "c" * 64,
        "in_service_sha256": "sha",
    }
    counted = {(row["in_service"], row["in_shadow"]): row["films"] for row in comparison["answers"]}
    assert counted == {("likely", "likely"): 2, ("uncertain", "unlikely"): 1}
    assert comparison["unanswered"] == [{"reason": "deadline_exceeded", "films": 1}]


def test_the_films_with_different_answers_are_named_those_farthest_apart_first(folder: DataFolder) -> None:
    both_answer(folder, 1, 0.70, "likely", said(0.60, "uncertain"))
    both_answer(folder, 2, 0.95, "likely", said(0.05, "unlikely"))
    both_answer(folder, 3, 0.99, "likely", said(0.66, "likely"))
    both_answer(folder, 4, 0.20, "unlikely", said(0.70, "likely"))
    both_answer(folder, 5, 0.90, "likely", silent("blank"))

    def named(most: int) -> list[str]:
        [comparison] = compared(folder, most)
        return [row["sop_instance_uid"] for row in comparison["disagreements"]]

    assert named(10) == ["1.2.3.2", "1.2.3.4", "1.2.3.1"]
    assert named(1) == ["1.2.3.2"]


def test_each_two_models_are_compared_by_themselves_the_latest_first(folder: DataFolder) -> None:
    both_answer(folder, 1, 0.9, "likely", CANDIDATE)
    both_answer(folder, 2, 0.9, "likely", replace(CANDIDATE, model_version="3.0"))
    both_answer(folder, 3, 0.9, "likely", replace(CANDIDATE, model_version="3.0"), sha256="next")
    found = [(each["version"], each["in_service_sha256"]) for each in compared(folder)]
    assert found == [("3.0", "next"), ("3.0", "sha"), ("2.0", "sha")]
    assert all(row["films"] == 1 for each in compared(folder) for row in each["answers"])


def test_what_a_candidate_said_is_in_no_report(folder: DataFolder) -> None:
    both_answer(folder, 1, 0.9, "likely", said(0.1, "unlikely"))
    with folder.database.read() as connection:
        [seen] = ledger.study_instances(connection, "1.2.3")
    assert seen.prediction == replace(PREDICTION, score=0.9, answer="likely")
