"""What comes late or corrected, and what came before: each in a further report, and nothing sent is altered."""

from pathlib import Path

from pydicom.dataset import Dataset

from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for


def reports(pacs: Pacs, study: str, number: int) -> list[Dataset]:
    """The study's reports in the order in which they were made, once there are so many."""
    wait_for(lambda: len(pacs.results(study)[0]) == number, why=f"there are not {number} reports")
    return sorted(pacs.results(study)[0], key=lambda each: str(each.ContentDate + each.ContentTime))


def texts(item: Dataset) -> list[str]:
    """All texts of a report."""
    here = [str(item.TextValue)] if "TextValue" in item else []
    return here + [text for each in item.get("ContentSequence", []) for text in texts(each)]


def predecessor(report: Dataset) -> str:
    [study] = report.PredecessorDocumentsSequence
    [series] = study.ReferencedSeriesSequence
    [document] = series.ReferencedSOPSequence
    return str(document.ReferencedSOPInstanceUID)


def test_a_study_whose_data_were_corrected_and_sent_again_gets_results_with_the_corrected_data(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="corrected")
    study = str(film.StudyInstanceUID)
    assert node.send(write(film, tmp_path / "film.dcm")) == 0
    wait_for(lambda: node.settled(1))
    [first] = reports(pacs, study, 1)
    before = pacs.results(study)
    film.PatientName, film.PatientID, film.AccessionNumber = "Roe^Jane", "MRN-000999", "ACC-78"
    assert node.send(write(film, tmp_path / "corrected.dcm")) == 0
    wait_for(lambda: len(pacs.results(study)[0]) + len(pacs.results(study)[1]) == 4)
    first_again, second = reports(pacs, study, 2)
    assert (first_again, first_again.PatientID) == (first, "MRN-000123")
    assert predecessor(second) == first.SOPInstanceUID
    for made in [second, *(each for each in pacs.results(study)[1] if each not in before[1])]:
        assert (made.PatientName, made.PatientID, made.AccessionNumber) == (
            "Roe^Jane",
            "MRN-000999",
            "ACC-78",
        )
    assert all(each in pacs.results(study)[1] for each in before[1])
    [instance] = node.json("show", study)["instances"]
    assert instance["times_received"] == 2
    [aside] = node.json("show", "ACC-78")["kept_aside"]
    assert aside["corrected_at"] is not None


def test_the_scores_of_earlier_studies_of_the_patient_are_in_the_report(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    earlier = chest_film(study="earlier", PatientID="MRN-77", StudyDate="20260102")
    now = chest_film(study="now", PatientID="MRN-77", StudyDate="20260301", opacity=True)
    namesake = chest_film(
        study="other issuer", PatientID="MRN-77", IssuerOfPatientID="B", StudyDate="20260302"
    )
    for film in (earlier, now, namesake):
        assert node.send(write(film, tmp_path / "film.dcm")) == 0
        study = str(film.StudyInstanceUID)
        [report] = reports(pacs, study, 1)
        wait_for(lambda study=study: all(each["state"] == "done" for each in node.story(study)["reports"]))
        compared = [text for text in texts(report) if text.startswith("Comparison:")]
        if film is now:
            [instance] = node.json("show", str(earlier.StudyInstanceUID))["instances"]
            assert f"{instance['score'] * 100:.1f}% (likely) on 2026-01-02" in compared[0]
        else:
            assert compared == []
