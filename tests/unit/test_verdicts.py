"""What was said of the answers: kept, replaced, and counted as people mean it."""

import time
from dataclasses import replace

import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from dicom_node import feedback
from dicom_node.feedback import by_month, figures, month_starts, share
from storage import ledger, verdicts
from storage.folder import DataFolder
from storage.records import JobKind
from storage.steps import Step
from storage.verdicts import (
    FINAL_REPORT,
    Judgement,
    KeptVerdict,
    Region,
    Truth,
    Verdict,
    is_positive,
    verdict_for,
)
from tests.instances import NOW, OWNER, PREDICTION, claimed, instance, receive

AGREE, DISAGREE, CANNOT_TELL = Verdict
DAY = 86400.0


def answered(
    folder: DataFolder,
    study: str,
    answer: str = "likely",
    score: float = 0.9,
    at: float = NOW,
    number: int = 1,
    **more: str,
) -> None:
    """Let a film of a study be received and answered."""
    identity = {"accession_number": f"A{study}", "patient_id": f"P{study}"} | more
    receive(folder, instance(number, study, **identity), at)
    job = claimed(folder, JobKind.ANALYSE, at + 1)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, replace(PREDICTION, score=score, answer=answer), at + 1)


def say(
    folder: DataFolder,
    study: str,
    verdict: Verdict,
    person: str = "ralf",
    region: Region | None = None,
    at: float = NOW + 60,
    message_id: str | None = None,
) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        about = verdicts.answer_of(connection, study)
        assert about is not None
        verdicts.judge(
            connection,
            study,
            about,
            Judgement(verdict, person, "192.0.2.1", region=region, message_id=message_id),
            at,
        )


def said(folder: DataFolder, study: str) -> list[KeptVerdict]:
    with folder.database.read() as connection:
        return verdicts.of_study(connection, study)


def truths(folder: DataFolder) -> dict[tuple[int, str, Truth], int]:
    with folder.database.read() as connection:
        return verdicts.truths_by_period(connection, [0.0])


def truth(folder: DataFolder) -> Truth:
    """Of the one study."""
    [(_, _, found)] = truths(folder)
    return found


# by hand: what somebody says there is who says this of that answer
MEANING = {
    ("likely", AGREE): True,
    ("likely", DISAGREE): False,
    ("uncertain", AGREE): True,
    ("uncertain", DISAGREE): False,
    ("unlikely", AGREE): False,
    ("unlikely", DISAGREE): True,
}


@pytest.mark.parametrize("answer", ["likely", "uncertain", "unlikely"])
def test_what_a_verdict_means_depends_on_the_answer(answer: str) -> None:
    for verdict in (AGREE, DISAGREE):
        assert is_positive(answer, verdict) is MEANING[answer, verdict]
        assert verdict_for(answer, MEANING[answer, verdict]) is verdict
    assert is_positive(answer, CANNOT_TELL) is None
    assert verdict_for(answer, None) is CANNOT_TELL


def test_a_verdict_keeps_what_it_was_about(folder: DataFolder) -> None:
    answered(folder, "1.2", "unlikely", 0.1, NOW)
    answered(folder, "1.2", "likely", 0.8, NOW + 5, number=2)
    region = Region("1.2.2", 1, 2, 30, 40)
    say(folder, "1.2", AGREE, region=region)
    [kept] = said(folder, "1.2")
    assert (kept.answer, kept.score, kept.model_sha256) == ("likely", 0.8, "sha")
    assert (kept.verdict, kept.is_positive, kept.region) == (AGREE, True, region)
    assert (kept.person, kept.at, kept.replaced_at) == ("ralf", NOW + 60, None)


def test_a_study_without_an_answer_cannot_be_judged(folder: DataFolder) -> None:
    receive(folder, instance(1, "1.2"))
    receive(folder, instance(2, "1.3", is_prior=True))
    with folder.database.read() as connection:
        assert verdicts.answer_of(connection, "1.2") is None
        assert verdicts.is_being_answered(connection, "1.2")
        assert verdicts.is_known(connection, "1.2")
        assert not verdicts.is_known(connection, "1.4")


def test_somebodys_later_verdict_replaces_their_earlier_one_and_both_are_kept(folder: DataFolder) -> None:
    answered(folder, "1.2")
    say(folder, "1.2", AGREE)
    say(folder, "1.2", AGREE, "rita")
    say(folder, "1.2", DISAGREE, at=NOW + 70)
    assert [(each.person, each.verdict, each.replaced_at) for each in said(folder, "1.2")] == [
        ("ralf", DISAGREE, None),
        ("rita", AGREE, None),
        ("ralf", AGREE, NOW + 70),
    ]


@pytest.mark.parametrize(
    ("by_people", "expected"),
    [
        ({"ralf": AGREE}, Truth.POSITIVE),
        ({"ralf": DISAGREE}, Truth.NEGATIVE),
        ({"ralf": CANNOT_TELL}, Truth.CANNOT_TELL),
        ({"ralf": AGREE, "rita": AGREE}, Truth.POSITIVE),
        ({"ralf": AGREE, "rita": CANNOT_TELL}, Truth.POSITIVE),
        ({"ralf": CANNOT_TELL, "rita": DISAGREE}, Truth.NEGATIVE),
        ({"ralf": AGREE, "rita": DISAGREE}, Truth.CONTRADICTED),
        ({"ralf": AGREE, FINAL_REPORT: DISAGREE}, Truth.CONTRADICTED),
    ],
)
def test_a_study_is_true_where_everybody_who_can_tell_says_the_same(
    folder: DataFolder, by_people: dict[str, Verdict], expected: Truth
) -> None:
    answered(folder, "1.2")
    for person, verdict in by_people.items():
        say(folder, "1.2", verdict, person)
    assert truths(folder) == {(0, "likely", expected): 1}


def test_somebody_who_is_called_so_is_no_final_report(folder: DataFolder) -> None:
    answered(folder, "1.2")
    say(folder, "1.2", AGREE, FINAL_REPORT)
    say(folder, "1.2", DISAGREE, FINAL_REPORT, message_id="M1")
    say(folder, "1.2", AGREE, FINAL_REPORT, message_id="M2")
    assert [(each.verdict, each.replaced_at is None) for each in said(folder, "1.2")] == [
        (AGREE, True),
        (DISAGREE, False),
        (AGREE, True),
    ]


def test_who_changes_their_mind_contradicts_nobody(folder: DataFolder) -> None:
    answered(folder, "1.2")
    say(folder, "1.2", AGREE)
    say(folder, "1.2", DISAGREE)
    assert truth(folder) is Truth.NEGATIVE


def test_studies_are_counted_in_the_month_in_which_they_were_received(folder: DataFolder) -> None:
    starts = month_starts(NOW, 3)
    for number, (answer, at) in enumerate(
        [("likely", starts[0]), ("likely", starts[1] - 1), ("unlikely", starts[1]), ("uncertain", starts[2])]
    ):
        answered(folder, f"1.{number}", answer, at=at)
    answered(folder, "1.9", at=starts[0] - 1)
    say(folder, "1.1", AGREE, at=NOW)
    say(folder, "1.9", AGREE, at=NOW)
    with folder.database.read() as connection:
        assert verdicts.answered_by_period(connection, starts) == {
            (0, "likely"): 2,
            (1, "unlikely"): 1,
            (2, "uncertain"): 1,
        }
        assert verdicts.truths_by_period(connection, starts) == {(0, "likely", Truth.POSITIVE): 1}
    everything, *months = by_month(folder.database, NOW, 3)
    assert everything.answered == {"likely": 2, "uncertain": 1, "unlikely": 1}
    assert [each.month for each in months] == [
        time.strftime("%Y-%m", time.localtime(start)) for start in reversed(starts)
    ]
    assert [each.judged["likely"] for each in months] == [0, 0, 1]


def test_months_begin_where_the_calendar_says() -> None:
    now = time.mktime((2026, 2, 10, 12, 0, 0, 0, 1, -1))
    starts = [time.localtime(start)[:5] for start in month_starts(now, 3)]
    assert starts == [(2025, 12, 1, 0, 0), (2026, 1, 1, 0, 0), (2026, 2, 1, 0, 0)]
    assert len(month_starts(now, feedback.MONTHS)) == 12


@pytest.mark.parametrize("of", [1, 2, 7, 40, 5000])
def test_shares_have_wilsons_interval(of: int) -> None:
    for part in {0, 1, of // 3, of - 1, of}:
        expected = binomtest(part, of).proportion_ci(method="wilson")
        found = share(part, of)
        assert found.share == part / of
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_nothing_there_is_no_share() -> None:
    assert (share(0, 0).share, share(0, 0).low, share(0, 0).high) == (None, None, None)


def test_predictive_values_are_those_of_the_confusion_matrix() -> None:
    counted = {
        ("likely", Truth.POSITIVE): 30,
        ("likely", Truth.NEGATIVE): 10,
        ("likely", Truth.CANNOT_TELL): 3,
        ("unlikely", Truth.NEGATIVE): 50,
        ("unlikely", Truth.POSITIVE): 5,
        ("unlikely", Truth.CONTRADICTED): 2,
        ("uncertain", Truth.POSITIVE): 4,
        ("uncertain", Truth.NEGATIVE): 12,
    }
    said_so, true = [], []
    for (answer, found), many in counted.items():
        if answer != "uncertain" and found in (Truth.POSITIVE, Truth.NEGATIVE):
            said_so += [answer == "likely"] * many
            true += [found is Truth.POSITIVE] * many
    (tn, fp), (fn, tp) = confusion_matrix(true, said_so)
    found = figures("all", {"likely": 100, "unlikely": 900}, counted)
    assert found.ppv.share == tp / (tp + fp)
    assert found.npv.share == tn / (tn + fn)
    assert found.agreement.share == (tp + tn) / (tp + fp + tn + fn)
    assert (found.uncertain_positive.part, found.uncertain_positive.of) == (4, 16)
    assert found.answered == {"likely": 100, "uncertain": 0, "unlikely": 900}
    assert found.judged == {"likely": 43, "uncertain": 16, "unlikely": 57}
    assert (found.cannot_tell, found.contradicted) == (3, 2)


def test_where_the_answer_was_wrong_is_listed_the_latest_first(folder: DataFolder) -> None:
    for study, answer, verdict in [
        ("1.1", "likely", AGREE),
        ("1.2", "likely", DISAGREE),
        ("1.3", "unlikely", DISAGREE),
        ("1.4", "unlikely", AGREE),
        ("1.5", "uncertain", DISAGREE),
        ("1.6", "likely", CANNOT_TELL),
        ("1.7", "likely", AGREE),
    ]:
        answered(folder, study, answer)
        say(folder, study, verdict)
    say(folder, "1.7", DISAGREE, FINAL_REPORT)
    with folder.database.read() as connection:
        found = verdicts.disagreements(connection, 0.0, 10)
        assert verdicts.disagreements(connection, NOW + DAY, 10) == []
        assert len(verdicts.disagreements(connection, 0.0, 2)) == 2
    assert [(each.study_instance_uid, each.accession_number, each.truth) for each in found] == [
        ("1.7", "A1.7", Truth.CONTRADICTED),
        ("1.5", "A1.5", Truth.NEGATIVE),
        ("1.3", "A1.3", Truth.POSITIVE),
        ("1.2", "A1.2", Truth.NEGATIVE),
    ]
