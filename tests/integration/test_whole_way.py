"""The main job over real DICOM networking: storescu in, Orthanc out."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from config.peers import Destination
from dicom_node.channels.storage import StorageChannel
from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from dicom_node.demo.films import demo_films
from dicom_node.results import encode
from tests.builders import NAMES, chest_film, write
from tests.peers import NodeProcess, Pacs, tool, wait_for
from tests.readings import film, likely, reading, results_of

VERBATIM = [
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
]
# how dcmtk encodes a film, and how storescu proposes that transfer syntax
DCMTK = {
    "JPEG baseline": ("dcmcjpeg +eb", "-xy"),
    "JPEG extended": ("dcmcjpeg +ee", "-xx"),
    "JPEG lossless": ("dcmcjpeg +e1", "-xs"),
    "JPEG-LS": ("dcmcjpls +el", "-xt"),
    "JPEG-LS near-lossless": ("dcmcjpls +en", "-xu"),
    "RLE by dcmtk": ("dcmcrle", "-xr"),
    "big endian": ("dcmconv +tb", "-xb"),
}
PYDICOM = {
    "implicit VR": (ImplicitVRLittleEndian, "-xi"),
    "deflated": (DeflatedExplicitVRLittleEndian, "-xd"),
    "RLE": (RLELossless, "-xr"),
}


def reported(pacs: Pacs, film: Dataset, reports: int = 1) -> tuple[Dataset, Dataset]:
    """Wait for the film's study to have its report and heatmap in the PACS, and return them."""

    def both() -> tuple[list[Dataset], list[Dataset]] | None:
        found = pacs.results(film.StudyInstanceUID)
        return found if len(found[0]) >= reports and len(found[1]) >= reports else None

    structured_reports, heatmaps = wait_for(both, why=f"no report of study {film.StudyInstanceUID}")
    assert (len(structured_reports), len(heatmaps)) == (reports, reports)
    return structured_reports[-1], heatmaps[-1]


def assert_valid(made: Dataset, folder: Path) -> None:
    path = folder / f"{made.Modality}.dcm"
    made.save_as(path)
    said = subprocess.run([tool("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
    assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
    if made.Modality == "SR":
        assert subprocess.run([tool("dsrdump"), str(path)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("syntax", PYDICOM)
def test_a_film_comes_back_with_report_and_heatmap(
    node: NodeProcess, pacs: Pacs, tmp_path: Path, syntax: str
) -> None:
    transfer_syntax, option = PYDICOM[syntax]
    film = chest_film(study=syntax, kind="CR")
    assert node.send(write(film, tmp_path / "film.dcm", transfer_syntax), options=option) == 0
    for made in reported(pacs, film):
        assert_valid(made, tmp_path)


@pytest.mark.parametrize("syntax", DCMTK)
def test_a_film_compressed_by_dcmtk_comes_back_with_report_and_heatmap(
    node: NodeProcess, pacs: Pacs, tmp_path: Path, syntax: str
) -> None:
    command, option = DCMTK[syntax]
    program, *options = command.split()
    film = chest_film(study=syntax)
    plain, path = write(film, tmp_path / "plain.dcm"), tmp_path / "film.dcm"
    subprocess.run([tool(program), *options, str(plain), str(path)], check=True, capture_output=True)
    film = dcmread(path)  # a lossy codec gives the film a new SOP Instance UID
    assert node.send(path, options=option) == 0
    for made in reported(pacs, film):
        assert_valid(made, tmp_path)


@pytest.mark.parametrize(
    ("name", "option"), [("real chest, JPEG 2000 lossless", "-xv"), ("real chest, JPEG 2000", "-xw")]
)
def test_a_real_film_in_jpeg_2000_comes_back_with_report_and_heatmap(
    node: NodeProcess, pacs: Pacs, tmp_path: Path, name: str, option: str
) -> None:
    film = next(each.dataset for each in demo_films(None) if each.name == name)
    dcmwrite(tmp_path / "film.dcm", film, enforce_file_format=True)
    assert node.send(tmp_path / "film.dcm", options=option) == 0
    for made in reported(pacs, film):
        assert_valid(made, tmp_path)


@pytest.mark.parametrize("key", NAMES)
def test_results_carry_patient_and_study_as_the_film_had_them(
    node: NodeProcess, pacs: Pacs, tmp_path: Path, key: str
) -> None:
    film = chest_film(study=f"name {key}", name=NAMES[key])
    node.send(path := write(film, tmp_path / "film.dcm"))
    sent = dcmread(path)
    for made in reported(pacs, film):
        for keyword in VERBATIM:
            assert made.get(keyword) == sent.get(keyword), keyword
        # the bytes themselves: names in any character set come back as they went in
        assert made.get_item("PatientName").value == sent.get_item("PatientName").value
        assert_valid(made, tmp_path)


def test_four_associations_at_once_lose_nothing_and_make_one_report_a_study(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    studies = [
        [chest_film(str(number), study=f"parallel {study}") for number in range(4)] for study in range(6)
    ]
    lanes = [
        [write(films[lane], tmp_path / f"{study}-{lane}.dcm") for study, films in enumerate(studies)]
        for lane in range(4)
    ]
    with ThreadPoolExecutor(4) as senders:
        assert list(senders.map(lambda files: node.send(*files), lanes)) == [0] * 4
    for films in studies:
        reported(pacs, films[0])


def test_a_result_that_is_sent_twice_is_held_once_with_the_bytes_that_were_made(pacs: Pacs) -> None:
    made = results_of(reading(film(likely(), study="results sent twice")))
    to = Destination(
        name="pacs", ae_title=PACS_AE_TITLE, host="127.0.0.1", port=pacs.port, objects=tuple(made)
    )
    channel = StorageChannel("CXR_NODE", to)
    statuses = [channel.send(encode(each)).status for each in made.values()]
    held = pacs.count()
    statuses += [channel.send(encode(each)).status for each in made.values()]
    channel.close()
    assert (set(statuses), len(made), pacs.count()) == ({0x0000}, 4, held)
    [study] = {str(each.StudyInstanceUID) for each in made.values()}
    assert {encode(each) for each in pacs.objects(study)} == set(map(encode, made.values()))


def test_the_same_files_sent_twice_change_nothing(node: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    film = chest_film(study="twice")
    path = write(film, tmp_path / "film.dcm")
    node.send(path)
    reported(pacs, film)
    wait_for(lambda: node.settled(1))
    held, before = pacs.count(), node.json("status")
    assert node.send(path) == 0
    wait_for(lambda: node.status()["instances_received_again"] == before["instances_received_again"] + 1)
    after = node.json("status")
    assert (after["jobs"], after["deliveries"], pacs.count()) == (before["jobs"], before["deliveries"], held)


def test_a_late_film_makes_a_revised_report_that_names_the_first(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    first, late = chest_film("first", study="late"), chest_film("late", study="late")
    node.send(write(first, tmp_path / "first.dcm"))
    original, _ = reported(pacs, first)
    node.send(write(late, tmp_path / "late.dcm"))
    wait_for(lambda: len(pacs.results(first.StudyInstanceUID)[0]) == 2)
    reports = {each.SOPInstanceUID: each for each in pacs.results(first.StudyInstanceUID)[0]}
    assert original == reports.pop(original.SOPInstanceUID)
    [revised] = reports.values()
    predecessor = revised.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == original.SOPInstanceUID


@pytest.mark.parametrize(
    ("case", "changes", "reason"),
    [
        ("lateral", {"view": "LL"}, "lateral_view"),
        ("hip", {"BodyPartExamined": "HIP", "without": ["AnatomicRegionSequence"]}, "body_part"),
        ("ct", {"Modality": "CT", "kind": "CR"}, "modality"),
        ("infant", {"PatientAge": "003M"}, "age"),
        ("broken", {"PixelData": b"\0" * 1000}, "undecodable_pixels"),
        ("blank", {"PixelData": b"\7\0" * 320 * 280}, "blank"),
    ],
)
def test_what_cannot_be_analysed_is_reported_with_its_reason_and_without_a_score(
    node: NodeProcess, pacs: Pacs, tmp_path: Path, case: str, changes: dict[str, object], reason: str
) -> None:
    film = chest_film(study=case, **changes)  # type: ignore[arg-type]
    assert node.send(write(film, tmp_path / "film.dcm")) == 0
    [report] = wait_for(lambda: pacs.results(film.StudyInstanceUID)[0])
    assert pacs.results(film.StudyInstanceUID)[1] == []
    [instance] = node.json("show", film.StudyInstanceUID)["instances"]
    assert (instance["state"], instance["reason"], instance["score"]) == ("rejected", reason, None)
    dump = str(report)
    assert "Undetermined" in dump
    assert "Certainty of Finding" not in dump


def test_reports_and_key_objects_are_stored_and_never_analysed(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="comes back")
    node.send(write(film, tmp_path / "film.dcm"))
    report, heatmap = reported(pacs, film)
    for number, made in enumerate((report, heatmap)):
        made.save_as(tmp_path / f"{number}.dcm")
    for calling in ("PACS", "CONVERTER"):
        assert node.send(tmp_path / "0.dcm", tmp_path / "1.dcm", calling=calling) == 0
    foreign = dcmread(tmp_path / "0.dcm")
    foreign.SOPInstanceUID = foreign.file_meta.MediaStorageSOPInstanceUID = "2.25.4711"
    foreign.Manufacturer = "Somebody Else"
    foreign.save_as(tmp_path / "foreign.dcm")
    assert node.send(tmp_path / "foreign.dcm") == 0
    wait_for(lambda: len(node.story(film.StudyInstanceUID)["instances"]) == 4)
    wait_for(lambda: node.settled(1))
    story = node.json("show", film.StudyInstanceUID)
    assert [each["stored_only"] for each in story["instances"]] == [
        None,
        "own_result",
        "own_result",
        "not_an_image",
    ]
    assert len(story["reports"]) == 1


def test_a_secondary_capture_is_analysed_only_for_a_source_that_says_so(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    secondary_capture = "1.2.840.10008.5.1.4.1.1.7"
    from_converter = chest_film("1", study="converted", kind="CR", SOPClassUID=secondary_capture)
    from_pacs = chest_film("2", study="captured", kind="CR", SOPClassUID=secondary_capture)
    node.send(write(from_converter, tmp_path / "converted.dcm"), calling="CONVERTER")
    node.send(write(from_pacs, tmp_path / "captured.dcm"), calling="PACS")
    reported(pacs, from_converter)
    story = node.json("show", from_pacs.StudyInstanceUID)
    assert [each["stored_only"] for each in story["instances"]] == ["secondary_capture"]
    assert story["reports"] == []


def test_no_patient_data_is_in_the_nodes_log(node: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    canary = "CANARY^Yellow"
    film = chest_film(
        study="canary", PatientName=canary, PatientID="CANARY-ID", StudyDescription="CANARY study"
    )
    broken = chest_film(study="canary 2", PatientName=canary, PatientID="CANARY-ID", PixelData=b"\0\0")
    hostile = chest_film(study="canary 3", PatientName=canary, PatientAge="CANARY", PatientBirthDate="CANARY")
    for number, each in enumerate((film, broken, hostile)):
        node.send(write(each, tmp_path / f"{number}.dcm"))
        wait_for(lambda each=each: pacs.results(each.StudyInstanceUID)[0])  # type: ignore[misc]
    assert "CANARY" not in node.log.upper()
    names = [str(path) for path in node.folder.rglob("*")]
    assert not [name for name in names if "CANARY" in name.upper()]
