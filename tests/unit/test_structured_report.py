"""What a radiologist, a worklist and an archive may rely on in the report."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from io import BytesIO

import pytest
from highdicom.sr import MeasurementReport
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.results import as_comprehensive_sr, codes, encode
from dicom_node.results.heatmap_image import build_heatmap
from dicom_node.results.readable import readable_text
from dicom_node.results.source import text_of
from dicom_node.results.structured_report import build_structured_report
from dicom_node.results.study import Film, Predecessor, PriorAnswer, StudyReading
from dicom_node.results.wording import flag, series_description
from inference.prediction import Answer, NotAnalysable, Outcome, Prediction, Reason, Region, Side
from tests.builders import NAMES
from tests.readings import (
    CARD,
    LATERAL,
    PREDECESSOR,
    PRIORS,
    REPORTED_AT,
    RIGHT_LOWER,
    film,
    likely,
    radiograph,
    reading,
    uncertain,
    unlikely,
)

LATERALITY = Code("272741003", "SCT", "Laterality")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
# the outline of a film of the tests, 280 columns and 320 rows
IN_TWO_STROKES = [(0, 64, 0, 0, 14, 0), (14, 0, 280, 0, 280, 320, 0, 320, 0, 64)]


def report_on(*films: Film, revision: int = 1) -> Dataset:
    return build_structured_report(reading(*films, revision=revision), heatmap=None)


def items(parent: Dataset) -> Iterator[Dataset]:
    """All content items below one, the nearest first."""
    for item in parent.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(parent: Dataset, code: Code) -> list[Dataset]:
    return [
        item
        for item in items(parent)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code.value
    ]


def groups(report: Dataset) -> list[Dataset]:
    return named(report, Code("125007", "DCM", "Measurement Group"))


def answers(parent: Dataset, code: Code) -> list[str]:
    """The coded values of all items of a name."""
    return [
        item.ConceptCodeSequence[0].CodeMeaning for item in named(parent, code) if item.ValueType == "CODE"
    ]


def texts(parent: Dataset, code: Code) -> list[str]:
    return [item.TextValue for item in named(parent, code)]


def evaluations(report: Dataset) -> Dataset:
    (container,) = named(report, codes.QUALITATIVE_EVALUATIONS)
    return container


def coordinates(group: Dataset) -> list[tuple[float, ...]]:
    return [tuple(item.GraphicData) for item in items(group) if item.ValueType == "SCOORD"]


def images_pointed_at(parent: Dataset) -> set[str]:
    return {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items(parent)
        if item.ValueType == "IMAGE"
    }


def evidence(report: Dataset) -> list[str]:
    return [
        image.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]


def uids_of(report: Dataset) -> list[str]:
    return [str(element.value) for element in report.iterall() if element.VR == "UI"]


class TestLikely:
    def test_pneumonia_is_found_present_and_urgent(self) -> None:
        report = report_on(film(likely()))
        (group,) = groups(report)
        assert answers(group, codes.PNEUMONIA) == ["Present"]
        assert answers(group, Code("121071", "DCM", "Finding")) == ["Pneumonia"]
        assert answers(evaluations(report), codes.PNEUMONIA) == ["Present"]
        assert answers(evaluations(report), codes.FINDINGS_SUMMARY) == [
            "All algorithms succeeded; with findings"
        ]
        assert answers(evaluations(report), codes.PRIORITY) == ["Urgent"]

    def test_the_certainty_is_the_score_in_percent(self) -> None:
        (group,) = groups(report_on(film(likely(0.8734))))
        (number,) = named(group, codes.CERTAINTY)
        assert number.MeasuredValueSequence[0].NumericValue == pytest.approx(87.3)
        assert number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "%"

    def test_every_region_of_every_likely_film_is_a_group_of_its_own(self) -> None:
        upper = Region(left=160, top=60, right=220, bottom=120)
        first, second = film(likely(0.9, RIGHT_LOWER, upper), "1"), film(likely(0.6, upper), "2")
        found = groups(report_on(first, second, film(unlikely(), "3")))
        assert sorted(coordinates(group)[0] for group in found) == sorted(
            [
                (40, 180, 120, 180, 120, 260, 40, 260, 40, 180),
                (160, 60, 220, 60, 220, 120, 160, 120, 160, 60),
                (160, 60, 220, 60, 220, 120, 160, 120, 160, 60),
            ]
        )
        films = {text_of(one.header, "SOPInstanceUID") for one in (first, second)}
        assert set.union(*(images_pointed_at(group) for group in found)) == films

    def test_a_likely_film_without_regions_is_marked_as_a_whole(self) -> None:
        (group,) = groups(report_on(film(replace(likely(), regions=()))))
        assert coordinates(group) == [(0, 0, 280, 0, 280, 320, 0, 320, 0, 0)]

    @pytest.mark.parametrize(
        ("orientation", "region", "site"),
        [
            (["L", "F"], Region(20, 100, 100, 200), "Right lung"),
            (["L", "F"], Region(180, 100, 260, 200), "Left lung"),
            (["R", "F"], Region(20, 100, 100, 200), "Left lung"),
            (["R", "F"], Region(180, 100, 260, 200), "Right lung"),
            (["L", "F"], Region(60, 100, 220, 200), "Both lungs"),
            (["L", "F"], Region(98, 100, 238, 200), "Both lungs"),
            (["L", "F"], Region(20, 100, 150, 200), "Right lung"),
            (["A", "F"], Region(20, 100, 100, 200), "Lung"),
            ("", Region(20, 100, 100, 200), "Lung"),
        ],
    )
    def test_the_side_is_the_patients_and_unsaid_where_unknown(
        self, orientation: str | list[str], region: Region, site: str
    ) -> None:
        (group,) = groups(report_on(film(likely(0.9, region), PatientOrientation=orientation)))
        assert answers(group, FINDING_SITE) == [site]
        (named_site,) = named(group, FINDING_SITE)
        side = {"Right lung": ["Right"], "Left lung": ["Left"], "Both lungs": ["Bilateral"]}.get(site, [])
        assert answers(named_site, LATERALITY) == side

    @pytest.mark.parametrize(
        ("side", "lung"),
        [(Side.LEFT, "the left lung"), (Side.RIGHT, "the right lung"), (Side.BILATERAL, "both lungs")],
    )
    @pytest.mark.parametrize("prediction", [likely, uncertain])
    def test_the_side_that_holds_the_attention_is_said_in_words(
        self, prediction: Callable[..., Prediction], side: Side, lung: str
    ) -> None:
        (said,) = texts(report_on(film(prediction(side=side))), codes.SUMMARY)
        assert f"%), attention on {lung}." in said

    @pytest.mark.parametrize(
        ("orientation", "side", "site"),
        [
            ("L", Side.LEFT, "Left lung"),
            ("L", Side.RIGHT, "Right lung"),
            ("L", Side.BILATERAL, "Right lung"),
            ("L", None, "Right lung"),
            ("R", Side.LEFT, "Left lung"),
            ("R", Side.RIGHT, "Right lung"),
            ("R", Side.BILATERAL, "Left lung"),
            ("R", None, "Left lung"),
        ],
    )
    def test_a_region_is_never_on_another_side_than_all_of_the_attention(
        self, orientation: str, side: Side | None, site: str
    ) -> None:
        """However the film hangs: the side of the attention is the patient's own."""
        one = film(likely(0.9, RIGHT_LOWER, side=side), PatientOrientation=[orientation, "F"])
        (group,) = groups(report_on(one))
        assert answers(group, FINDING_SITE) == [site]

    def test_the_group_points_to_the_heatmap_of_its_film_and_of_no_other(self) -> None:
        study = reading(film(likely(0.6), "1"), film(likely(0.9), "2"))
        heatmap = build_heatmap(study, radiograph(60, 50), "source")
        report = build_structured_report(study, heatmap)
        explained = [group for group in groups(report) if named(group, codes.VISUAL_EXPLANATION)]
        assert [answers(group, codes.PNEUMONIA) for group in explained] == [["Present"]]
        (certainty,) = named(explained[0], codes.CERTAINTY)
        assert certainty.MeasuredValueSequence[0].NumericValue == 90
        assert heatmap.SOPInstanceUID in images_pointed_at(explained[0])
        assert heatmap.SOPInstanceUID in evidence(report)


class TestUncertain:
    def test_it_is_summed_up_with_findings_but_coded_equivocal_not_as_a_finding_and_not_urgent(self) -> None:
        report = report_on(film(uncertain()))
        (group,) = groups(report)
        assert answers(group, codes.PNEUMONIA) == ["Equivocal"]
        assert answers(evaluations(report), codes.PNEUMONIA) == ["Equivocal"]
        assert answers(report, Code("121071", "DCM", "Finding")) == []
        assert answers(report, codes.PRIORITY) == []
        assert answers(report, codes.FINDINGS_SUMMARY) == ["All algorithms succeeded; with findings"]

    def test_its_words_say_so_with_the_limits_and_that_nothing_is_settled(self) -> None:
        report = report_on(film(uncertain(0.42)))
        said = (
            "AI: pneumonia uncertain (score 42.0%, uncertain from 35.0% to 50.0%). "
            "Neither confirms nor excludes disease."
        )
        assert texts(report, codes.SUMMARY) == [f"{said} 1 image analysed: 1 uncertain."]
        assert texts(groups(report)[0], codes.COMMENT) == [said]

    def test_every_region_of_its_films_is_marked_with_its_certainty(self) -> None:
        upper = Region(left=160, top=60, right=220, bottom=120)
        found = groups(report_on(film(uncertain(0.42, RIGHT_LOWER, upper), "1"), film(unlikely(), "2")))
        assert [coordinates(group)[0][:2] for group in found] == [(40, 180), (160, 60)]
        for group in found:
            (number,) = named(group, codes.CERTAINTY)
            assert number.MeasuredValueSequence[0].NumericValue == 42

    def test_the_group_points_to_the_heatmap(self) -> None:
        study = reading(film(uncertain()))
        heatmap = build_heatmap(study, radiograph(60, 50), "source")
        assert heatmap.SOPInstanceUID in images_pointed_at(groups(build_structured_report(study, heatmap))[0])


@pytest.mark.parametrize(
    ("outcomes", "answer", "leading"),
    [
        ((unlikely(0.1), uncertain(0.4), likely(0.6), likely(0.9), LATERAL), Answer.LIKELY, 3),
        ((unlikely(0.1), uncertain(0.4), uncertain(0.45), None), Answer.UNCERTAIN, 2),
        ((LATERAL, unlikely(0.1), unlikely(0.2)), Answer.UNLIKELY, 2),
        ((LATERAL, None), None, 0),
        # analysed by other limits, before the node was started with these
        ((likely(0.6), Prediction(0.8, (0.7, 0.9), likely().attention, (), None)), Answer.LIKELY, 0),
    ],
)
def test_a_study_is_as_its_most_alarming_film(
    outcomes: tuple[Outcome | None, ...], answer: Answer | None, leading: int
) -> None:
    films = tuple(film(outcome, str(number)) for number, outcome in enumerate(outcomes))
    study = StudyReading(films, CARD, "CXR_NODE", 1, REPORTED_AT, None)
    assert study.answer is answer
    assert study.leading_film is films[leading]


def test_a_film_is_reported_by_the_limits_that_were_in_force_when_it_was_analysed() -> None:
    report = report_on(film(replace(likely(0.9), uncertain=(0.2, 0.8))))
    assert "likely from 80.0%" in texts(report, codes.SUMMARY)[0]
    limits = texts(report, Code("111002", "DCM", "Algorithm Parameters"))[:2]
    assert limits == ["uncertain from score 0.2000", "likely from score 0.8000"]


class TestUnlikely:
    def test_pneumonia_is_absent_and_never_a_finding(self) -> None:
        report = report_on(film(unlikely(), "1"), film(unlikely(0.3), "2"))
        assert answers(report, codes.PNEUMONIA) == ["Absent"] * 3
        assert answers(report, Code("121071", "DCM", "Finding")) == []
        assert answers(report, codes.PRIORITY) == []
        assert answers(report, codes.FINDINGS_SUMMARY) == ["All algorithms succeeded; without findings"]

    def test_it_does_not_claim_to_exclude_disease(self) -> None:
        (summary,) = texts(report_on(film(unlikely())), codes.SUMMARY)
        assert "Does not exclude disease." in summary

    def test_its_certainty_is_of_the_whole_image(self) -> None:
        (group,) = groups(report_on(film(unlikely(0.0))))
        (number,) = named(group, codes.CERTAINTY)
        assert number.MeasuredValueSequence[0].NumericValue == 0
        assert coordinates(number) == IN_TWO_STROKES


class TestNotAnalysable:
    def test_pneumonia_is_undetermined_without_a_number(self) -> None:
        report = report_on(film(LATERAL, view="LL"))
        assert answers(report, codes.PNEUMONIA) == ["Undetermined"] * 2
        assert named(report, codes.CERTAINTY) == []
        assert answers(report, FINDING_SITE) == []
        assert set(answers(report, codes.FINDINGS_SUMMARY)) == {"No algorithms succeeded; without findings"}

    def test_how_many_images_is_counted_on_the_first_of_them(self) -> None:
        (group,) = groups(report_on(film(LATERAL, "1", view="LL"), film(LATERAL, "2", view="LL")))
        (number,) = named(group, codes.QUANTITY)
        assert number.MeasuredValueSequence[0].NumericValue == 2
        assert coordinates(number) == IN_TWO_STROKES

    @pytest.mark.parametrize("reason", Reason)
    def test_every_reason_is_said_in_words(self, reason: Reason) -> None:
        report = report_on(film(NotAnalysable(reason)))
        (group,) = groups(report)
        assert texts(group, codes.COMMENT) == [f"AI: 1 image not analysed: {reason.sentence}."]
        assert reason.sentence in texts(report, codes.SUMMARY)[0]

    @pytest.mark.parametrize(
        ("reason", "quality"),
        [
            (Reason.BLANK, ["No image"]),
            (Reason.INVERTED, ["Inappropriate image processing"]),
            (Reason.TURNED, ["Positioning"]),
            (Reason.CROPPED, ["Positioning"]),
            (Reason.LATERAL_VIEW, []),
            (Reason.NOT_A_CHEST, []),
        ],
    )
    def test_what_is_wrong_with_the_picture_is_also_coded(self, reason: Reason, quality: list[str]) -> None:
        assert answers(report_on(film(NotAnalysable(reason))), codes.IMAGE_QUALITY) == quality

    def test_a_failed_analysis_waits_for_a_person_and_says_so(self) -> None:
        report = report_on(film(None))
        assert answers(evaluations(report), codes.PNEUMONIA) == ["Undetermined"]
        assert "analysis failed; waits for a person" in texts(report, codes.SUMMARY)[0]

    def test_a_thousand_slices_sent_here_by_mistake_are_one_statement(self) -> None:
        slices = [film(NotAnalysable(Reason.MODALITY), "0")]
        for number in range(1, 1000):
            header = Dataset()
            header.update(slices[0].header)
            header.SOPInstanceUID = f"1.2.3.{number}"
            slices.append(Film(header, NotAnalysable(Reason.MODALITY)))
        study = reading(*slices, film(LATERAL, "lateral"))
        report = build_structured_report(study, heatmap=None)
        assert len(groups(report)) == 2
        assert images_pointed_at(groups(report)[0]) == {text_of(study.films[0].header, "SOPInstanceUID")}
        assert f"AI: 1000 images not analysed: {Reason.MODALITY.sentence}." in texts(report, codes.COMMENT)
        assert len(evidence(report)) == 1001

    @pytest.mark.parametrize("outcome", [LATERAL, None, unlikely(), likely()], ids=str)
    def test_an_image_without_a_size_is_reported_without_a_group(self, outcome: Outcome | None) -> None:
        report = report_on(film(outcome, without=["Rows", "Columns"]))
        assert groups(report) == []
        assert len(texts(report, codes.SUMMARY)) == 1
        assert texts(report, Code("111001", "DCM", "Algorithm Name")) == [CARD.name]


def test_the_images_without_a_group_are_in_the_summary() -> None:
    report = report_on(
        film(likely(0.9), "1"),
        film(unlikely(), "2"),
        film(LATERAL, "3"),
        film(LATERAL, "4"),
        film(None, "5"),
    )
    (said,) = texts(report, codes.SUMMARY)
    assert said.startswith(
        "AI: pneumonia likely (score 90.0%, likely from 50.0%). 2 images analysed: 1 likely, 1 unlikely."
    )
    assert " 1 image not analysed: analysis failed; waits for a person." in said
    assert " 2 images not analysed: lateral view; only frontal views (PA, AP) are analysed." in said
    assert answers(report, codes.FINDINGS_SUMMARY) == ["Not all algorithms succeeded; with findings"]


STUDIES = {
    "likely": (film(likely(), "1"), film(unlikely(), "2"), film(LATERAL, "3", view="LL")),
    "uncertain": (film(uncertain(), "1"), film(unlikely(), "2"), film(LATERAL, "3", view="LL")),
    "unlikely": (film(unlikely(), "1"), film(LATERAL, "2", view="LL")),
    "not analysable": (film(LATERAL, "1", view="LL"), film(None, "2")),
}


@pytest.mark.parametrize("films", STUDIES.values(), ids=STUDIES)
class TestEveryReport:
    def test_every_group_points_to_a_region_of_an_image(self, films: tuple[Film, ...]) -> None:
        found = groups(report_on(*films))
        assert found
        assert all(coordinates(group) for group in found)

    def test_every_image_that_was_looked_at_is_evidence_and_nothing_else_is(
        self, films: tuple[Film, ...]
    ) -> None:
        looked_at = sorted(text_of(one.header, "SOPInstanceUID") for one in films)
        report = report_on(*films)
        assert sorted(evidence(report)) == looked_at
        assert images_pointed_at(report) <= set(looked_at)

    def test_it_is_a_preliminary_word_of_a_device(self, films: tuple[Film, ...]) -> None:
        report = report_on(*films)
        assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
        assert report.PreliminaryFlag == "PRELIMINARY"
        assert [author.ObserverType for author in report.AuthorObserverSequence] == ["DEV"]
        assert "not for primary diagnosis" in " ".join(texts(evaluations(report), codes.COMMENT))

    def test_viewers_print_values_with_their_names(self, films: tuple[Film, ...]) -> None:
        containers = [item for item in items(report_on(*films)) if item.ValueType == "CONTAINER"]
        assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}

    def test_written_and_read_back_it_is_the_same(self, films: tuple[Film, ...]) -> None:
        report = report_on(*films)
        assert dcmread(BytesIO(encode(report))) == report

    def test_built_again_it_is_the_same_object(self, films: tuple[Film, ...]) -> None:
        assert encode(report_on(*films)) == encode(report_on(*films))

    def test_its_uids_are_valid(self, films: tuple[Film, ...]) -> None:
        assert [uid for uid in uids_of(report_on(*films)) if not UID(uid).is_valid or len(uid) > 64] == []

    def test_all_its_own_words_are_ascii(self, films: tuple[Film, ...]) -> None:
        assert all(item.TextValue.isascii() for item in items(report_on(*films)) if item.ValueType == "TEXT")


@pytest.mark.parametrize(
    ("films", "shown"),
    [
        (STUDIES["likely"], "PNEUMONIA LIKELY"),
        (STUDIES["uncertain"], "Pneumonia uncertai"),
        (STUDIES["unlikely"], "Pneumonia unlikely"),
        (STUDIES["not analysable"], "Not analysable"),
    ],
)
def test_a_worklist_shows_the_answer_in_the_first_letters_of_the_series(
    films: tuple[Film, ...], shown: str
) -> None:
    description = report_on(*films).SeriesDescription
    assert description.startswith(shown)
    assert len(shown) <= 18
    assert len(description) <= 64


class TestRevised:
    def test_it_is_another_object_that_names_the_one_it_replaces(self) -> None:
        first, second = report_on(film(likely())), report_on(film(likely()), revision=2)
        assert first.SOPInstanceUID != second.SOPInstanceUID
        assert first.SeriesInstanceUID != second.SeriesInstanceUID
        (study,) = second.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        (document,) = series.ReferencedSOPSequence
        assert study.StudyInstanceUID == second.StudyInstanceUID
        assert series.SeriesInstanceUID == PREDECESSOR.series_instance_uid
        assert document.ReferencedSOPInstanceUID == PREDECESSOR.sop_instance_uid
        assert document.ReferencedSOPClassUID == PREDECESSOR.sop_class_uid
        assert "PredecessorDocumentsSequence" not in first

    def test_its_summary_says_so(self) -> None:
        (summary,) = texts(report_on(film(likely()), revision=2), codes.SUMMARY)
        assert summary.endswith("Revision 2, replaces the earlier report.")

    def test_a_first_report_with_a_predecessor_is_refused(self) -> None:
        with pytest.raises(ValueError, match="predecessor"):
            StudyReading((film(likely()),), CARD, "CXR_NODE", 1, REPORTED_AT, PREDECESSOR)

    def test_a_study_whose_first_report_failed_is_reported_without_a_predecessor(self) -> None:
        study = StudyReading((film(likely()),), CARD, "CXR_NODE", 2, REPORTED_AT, None)
        assert "PredecessorDocumentsSequence" not in build_structured_report(study, None)


@pytest.mark.parametrize("answer", [*Answer, None])
@pytest.mark.parametrize("what", ["report", "heatmap", "key image", "regions"])
def test_every_series_says_its_answer_and_its_revision_in_64_characters(
    answer: Answer | None, what: str
) -> None:
    said = [series_description(answer, what, revision) for revision in (1, 2, 9, 10, 4711)]
    assert max(map(len, said)) <= 64
    assert len(set(said)) == 4
    assert {each.split(" (AI ")[0] for each in said} == {flag(answer)}
    assert all(each.endswith("not for primary diagnosis") for each in said)


@pytest.mark.parametrize("other", [{"PatientID": "MRN-9"}, {"IssuerOfPatientID": "B"}])
def test_a_study_whose_images_name_two_patients_says_so(other: dict[str, str]) -> None:
    mixed = texts(report_on(film(likely(), "1"), film(unlikely(), "2", **other)), codes.SUMMARY)[0]
    of_one = texts(report_on(film(likely(), "1"), film(unlikely(), "2")), codes.SUMMARY)[0]
    assert "WARNING: the images of this study do not all name the same patient." in mixed
    assert "WARNING" not in of_one


class TestPriors:
    def compared(self, *priors: PriorAnswer, outcome: Outcome | None = None) -> list[str]:
        study = reading(film(outcome), priors=priors)
        return texts(
            evaluations(build_structured_report(study, heatmap=None)),
            Code("121069", "DCM", "Previous Finding"),
        )

    def test_earlier_scores_stand_beside_todays_the_newest_first(self) -> None:
        assert self.compared(*PRIORS, outcome=likely(0.91)) == [
            "Comparison: score 91.0% now; 42.0% (uncertain) on 2026-01-10; "
            "12.0% (unlikely, by another version of the model, not comparable) on 2025-07-04."
        ]

    def test_a_study_without_a_score_is_reported_with_the_earlier_ones(self) -> None:
        assert self.compared(PRIORS[0], outcome=LATERAL) == ["Comparison: 42.0% (uncertain) on 2026-01-10."]

    @pytest.mark.parametrize(
        "date", ["", "yesterday", "20261301", "20260132", "2026-1-1", "٢٠٢٦٠١١٠", "20260110 "]
    )
    def test_a_date_that_is_none_is_told_as_unknown(self, date: str) -> None:
        [said] = self.compared(replace(PRIORS[0], study_date=date), outcome=likely(0.91))
        assert said == "Comparison: score 91.0% now; 42.0% (uncertain) on an unknown date."

    @pytest.mark.parametrize("outcome", [likely(), unlikely(), LATERAL, None], ids=str)
    def test_without_earlier_studies_nothing_is_compared(self, outcome: Outcome | None) -> None:
        assert self.compared(outcome=outcome) == []

    def test_the_heatmap_does_not_compare(self) -> None:
        with_priors, without = (
            encode(build_heatmap(reading(film(likely()), priors=priors), radiograph(60, 50), "source"))
            for priors in (PRIORS, ())
        )
        assert with_priors == without


class TestReportForOlderPeers:
    def test_it_has_the_same_content_under_another_class_and_name(self) -> None:
        report = report_on(film(likely()))
        twin = as_comprehensive_sr(report)
        assert (report.SOPClassUID, twin.SOPClassUID) == (Comprehensive3DSRStorage, ComprehensiveSRStorage)
        assert report.SOPInstanceUID != twin.SOPInstanceUID
        for dataset in (report, twin):
            del dataset["SOPClassUID"], dataset["SOPInstanceUID"]
        assert report == twin

    def test_made_of_a_stored_file_it_is_the_same_object(self) -> None:
        report = report_on(film(likely(), name=NAMES["japanese"]))
        stored = dcmread(BytesIO(encode(report)))
        assert encode(as_comprehensive_sr(stored)) == encode(as_comprehensive_sr(report))
        assert as_comprehensive_sr(stored).file_meta.MediaStorageSOPClassUID == ComprehensiveSRStorage

    def test_its_predecessor_is_the_one_that_the_same_peer_was_sent(self) -> None:
        first = report_on(film(likely()))
        named_before = Predecessor(first.SOPClassUID, first.SOPInstanceUID, first.SeriesInstanceUID)
        study = StudyReading((film(likely()),), CARD, "CXR_NODE", 2, REPORTED_AT, named_before)
        twin = as_comprehensive_sr(build_structured_report(study, heatmap=None))
        document = twin.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert document.ReferencedSOPClassUID == ComprehensiveSRStorage
        assert document.ReferencedSOPInstanceUID == as_comprehensive_sr(first).SOPInstanceUID


class TestNamesOfThings:
    def test_no_two_things_have_the_same_name(self) -> None:
        study = reading(film(likely(0.9, RIGHT_LOWER, Region(160, 60, 220, 120))))
        heatmap = build_heatmap(study, radiograph(60, 50), "source")
        report = build_structured_report(study, heatmap)
        own = [
            made[name].value for made in (report, heatmap) for name in ("SOPInstanceUID", "SeriesInstanceUID")
        ]
        tracked = [item.UID for item in named(report, Code("112040", "DCM", "Tracking Unique Identifier"))]
        assert len({*own, *tracked, report.DeviceUID}) == 7

    def test_the_uids_depend_on_study_images_model_and_revision_alone(self) -> None:
        uid = report_on(film(likely())).SOPInstanceUID
        assert report_on(film(unlikely())).SOPInstanceUID == uid
        assert report_on(film(likely(), "2")).SOPInstanceUID != uid
        moved = film(likely(), StudyInstanceUID="1.2.9")
        assert report_on(moved).SOPInstanceUID != uid
        corrected = replace(film(likely()), version="of other bytes")
        assert report_on(corrected).SOPInstanceUID != uid
        retrained = replace(CARD, sha256="0" * 64)
        other = build_structured_report(reading(film(likely()), card=retrained), heatmap=None)
        assert other.SOPInstanceUID != uid
        assert other.DeviceUID != report_on(film(likely())).DeviceUID

    def test_the_model_and_its_version_are_in_the_report(self) -> None:
        report = report_on(film(likely()))
        assert report.ManufacturerModelName == CARD.name
        assert report.SoftwareVersions[1] == "1.2.0+3f2a9c0e3f2a"
        (contribution,) = report.ContributingEquipmentSequence
        assert contribution.DeviceUID == report.DeviceUID
        assert texts(report, Code("111003", "DCM", "Algorithm Version")) == [CARD.version]
        assert f"weights SHA-256 {CARD.sha256}" in texts(
            report, Code("111002", "DCM", "Algorithm Parameters")
        )

    def test_a_model_with_a_foreign_name_is_written_in_any_character_set(self) -> None:
        card = replace(CARD, name="肺炎\\" + "x" * 80)
        study = reading(film(likely(), name=NAMES["cyrillic"]), card=card)
        model = dcmread(BytesIO(encode(build_structured_report(study, heatmap=None)))).ManufacturerModelName
        assert model.isascii()
        assert len(model) == 64


class TestTime:
    def test_every_date_and_time_is_when_the_job_was_first_claimed_on_the_sources_clock(self) -> None:
        report = report_on(film(likely(), TimezoneOffsetFromUTC="+0100"))
        assert report.TimezoneOffsetFromUTC == "+0100"
        for when in ("Content", "Series", "InstanceCreation"):
            assert report[f"{when}Date"].value == "20260302"
            assert report[f"{when}Time"].value == "003005"
        assert report.ContributingEquipmentSequence[0].ContributionDateTime == "20260302003005+0100"
        dates = {element.value for element in report.iterall() if element.VR == "DA"}
        assert dates == {"19560704", "20260301", "20260302"}  # birth, study and report

    def test_a_source_without_a_zone_gets_the_local_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            report = report_on(film(likely(), without=["TimezoneOffsetFromUTC"]))
        finally:
            monkeypatch.undo()
            time.tzset()
        assert (report.ContentDate, report.ContentTime) == ("20260302", "083005")
        assert "TimezoneOffsetFromUTC" not in report

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="zone"):
            StudyReading((film(likely()),), CARD, "CXR_NODE", 1, datetime(2026, 3, 1), None)


def test_the_order_of_the_radiograph_is_in_the_report() -> None:
    report = report_on(film(likely()))
    (request,) = report.ReferencedRequestSequence
    assert request.RequestedProcedureID == "RP77"
    assert request.AccessionNumber == "ACC-77"
    assert request.StudyInstanceUID == report.StudyInstanceUID
    assert list(report.ReferencedPerformedProcedureStepSequence) == []


def test_another_reader_of_tid_1500_finds_groups_regions_and_images() -> None:
    regions = (RIGHT_LOWER, Region(150, 10, 250, 100))
    heatmap = build_heatmap(reading(film(likely())), radiograph(), "source")
    study = reading(film(likely(0.873, *regions, side=Side.BILATERAL)))
    content = MeasurementReport.from_sequence(
        [dcmread(BytesIO(encode(build_structured_report(study, heatmap))))]
    )
    found = content.get_planar_roi_measurement_groups()
    assert [group.roi.graphic_type.value for group in found] == ["POLYLINE", "POLYLINE"]
    assert [group.roi.value[0].tolist() for group in found] == [[40, 180], [150, 10]]
    assert [group.get_measurements()[0].value for group in found] == [87.3, 87.3]
    assert found[0].finding_type.meaning == "Pneumonia"
    assert content.get_observer_contexts()[0].observer_identifying_attributes.name == "CXR_NODE"
    (unlikely_group,) = MeasurementReport.from_sequence(
        [dcmread(BytesIO(encode(report_on(film(unlikely())))))]
    ).get_image_measurement_groups()
    assert unlikely_group.get_measurements()[0].unit == codes.PERCENT


def test_the_readable_report_says_all_of_it_and_nothing_of_the_patient() -> None:
    text = readable_text(report_on(film(likely(), name=NAMES["latin1"])))
    assert text.startswith("PNEUMONIA LIKELY")
    assert "Certainty of Finding: 87.3 %" in text
    assert "Image Region: POLYLINE (40, 180) (120, 180)" in text
    assert "  Qualitative Evaluations\n    CAD Processing and Findings Summary: All algorithms" in text
    assert "Müller" not in text
    assert "MRN-000123" not in text


# Of SNOMED, UMLS, UCUM and the languages of RFC 5646, not of the standard's own tables.
FOREIGN = {
    *(codes.PNEUMONIA, codes.RIGHT_LUNG, codes.LEFT_LUNG, codes.BOTH_LUNGS, codes.PRIORITY, codes.URGENT),
    *(codes.QUALITATIVE_EVALUATIONS, codes.IMAGES, codes.ENGLISH, codes.PIXELS),
    *(codes.FINDING_CATEGORY, codes.SOURCE),
}


@pytest.mark.parametrize(
    "code",
    [value for value in vars(codes).values() if isinstance(value, Code) and value not in FOREIGN],
    ids=lambda code: code.meaning,
)
def test_codes_mean_what_the_standard_says(code: Code) -> None:
    tables: dict[str, dict[str, tuple[str, list[int]]]] = concepts[code.scheme_designator]  # type: ignore[assignment]
    meanings = [table[code.value][0].lower() for table in tables.values() if code.value in table]
    assert code.meaning.lower() in meanings
