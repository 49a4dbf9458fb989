"""One file in, one answer out: a score with its regions, or the reason why there is none."""

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian

from config.sections import LimitsSettings
from inference.card import SHIPPED, load_card
from inference.classifier import Classification
from inference.lungs import PICTURE_SIDE
from inference.prediction import Answer, Band, NotAnalysable, Prediction, Reason, Side
from inference.preprocessing import network_input
from inference.radiograph import Radiograph
from inference.reader import ChestReader
from tests.builders import Name, chest_film, encoded, write
from tests.readings import CARD


def reader(minimum_age_years: float = 0.0, uncertain: Band | None = None) -> ChestReader:
    return ChestReader(SHIPPED, minimum_age_years, uncertain)


@pytest.fixture(scope="module")
def careful() -> ChestReader:
    return reader(minimum_age_years=18)


def test_a_good_film_is_answered_by_the_cards_band(careful: ChestReader, tmp_path: Path) -> None:
    answer = careful.read(write(chest_film(), tmp_path / "film.dcm"))
    assert isinstance(answer, Prediction)
    assert answer.uncertain == load_card(SHIPPED).uncertain


@pytest.mark.parametrize(
    ("uncertain", "answer", "has_regions"),
    [
        ((0.0, 0.0), Answer.LIKELY, True),
        ((0.0, 1.0), Answer.UNCERTAIN, True),
        ((1.0, 1.0), Answer.UNLIKELY, False),
    ],
)
def test_a_film_has_regions_inside_it_unless_pneumonia_is_unlikely(
    uncertain: Band, answer: Answer, has_regions: bool, tmp_path: Path
) -> None:
    film = write(chest_film(rows=400, columns=300), tmp_path / "film.dcm")
    read = reader(uncertain=uncertain).read(film)
    assert isinstance(read, Prediction)
    assert read.answer is answer
    assert bool(read.regions) == has_regions
    assert len(read.regions) <= 3
    for region in read.regions:
        assert 0 <= region.left < region.right <= 300
        assert 0 <= region.top < region.bottom <= 400


class LooksAtThePicturesLeft:
    """Stands in for the classifier: all speaks for pneumonia in the lung that is on the left of the picture."""

    def __init__(self, _bundle: Path, _engine: str) -> None:
        self.card = CARD

    def classify(self, radiograph: Radiograph) -> Classification:
        activation = np.zeros((14, 14), np.float32)
        activation[6:9, 3:5] = 1.0
        picture = network_input(radiograph.pixels, PICTURE_SIDE)
        return Classification(picture, 0.9, activation, features=np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("orientation", "side"),
    [
        (["L", "F"], Side.RIGHT),
        (["R", "F"], Side.LEFT),
        (["r", "f"], Side.LEFT),
        (["LH", "F"], Side.RIGHT),
        ("", Side.RIGHT),
        (["F", "L"], None),
        ("FP", None),
    ],
    ids=str,
)
def test_the_side_is_the_patients_as_the_header_says_the_film_hangs(
    orientation: str | list[str], side: Side | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.reader.Classifier", LooksAtThePicturesLeft)
    answer = reader().read(write(chest_film(PatientOrientation=orientation), tmp_path / "film.dcm"))
    assert isinstance(answer, Prediction)
    assert answer.side is side
    assert all(region.right <= 280 // 2 for region in answer.regions)


def test_the_side_of_the_other_lung_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LooksAtThePicturesRight(LooksAtThePicturesLeft):
        def classify(self, radiograph: Radiograph) -> Classification:
            found = super().classify(radiograph)
            return replace(found, activation=found.activation[:, ::-1].copy())

    monkeypatch.setattr("inference.reader.Classifier", LooksAtThePicturesRight)
    sides = [
        reader().read(write(chest_film(PatientOrientation=[rows, "F"]), tmp_path / "film.dcm")).side  # type: ignore[union-attr]
        for rows in "LR"
    ]
    assert sides == [Side.LEFT, Side.RIGHT]


def test_a_picture_and_its_negative_get_the_same_score(careful: ChestReader, tmp_path: Path) -> None:
    answers = [
        careful.read(write(chest_film(photometric=photometric), tmp_path / "film.dcm"))
        for photometric in ("MONOCHROME1", "MONOCHROME2")
    ]
    scores = [answer.score for answer in answers if isinstance(answer, Prediction)]
    assert len(scores) == 2
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        (Reason.MODALITY, {"Modality": "CT"}),
        (Reason.LATERAL_VIEW, {"view": "LL"}),
        (Reason.BODY_PART, {"BodyPartExamined": "HIP"}),
        (Reason.AGE, {"PatientAge": "004Y"}),
        (Reason.TOO_SMALL, {"rows": 100}),
        (Reason.BLANK, {"PixelData": np.full((320, 280), 77, "<u2").tobytes()}),
        (Reason.UNDECODABLE_PIXELS, {"PixelData": b"\1\2" * 500}),
        (Reason.NO_PIXELS, {"without": ["PixelData"]}),
    ],
    ids=str,
)
def test_what_cannot_be_analysed_ends_with_its_reason(
    reason: Reason, changed: dict[str, Any], careful: ChestReader, tmp_path: Path
) -> None:
    assert careful.read(write(chest_film(**changed), tmp_path / "film.dcm")) == NotAnalysable(reason)


@pytest.mark.parametrize(
    "content", [b"", b"no DICOM at all" * 50, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\2\0\1"]
)
def test_a_file_that_is_no_dicom_is_unreadable(content: bytes, careful: ChestReader, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(content)
    answer = careful.read(path)
    assert isinstance(answer, NotAnalysable)
    assert answer.reason in (Reason.UNREADABLE_FILE, Reason.MODALITY)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_never_read_as_a_film(
    share: float, careful: ChestReader, tmp_path: Path
) -> None:
    path = write(chest_film(), tmp_path / "film.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert isinstance(careful.read(path), NotAnalysable)


def test_a_missing_file_is_the_machines_fault_and_worth_a_retry(careful: ChestReader, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        careful.read(tmp_path / "gone.dcm")


def test_out_of_memory_is_worth_a_retry(
    careful: ChestReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("inference.dicom_file.dcmread", exhausted)
    with pytest.raises(MemoryError):
        careful.read(write(chest_film(), tmp_path / "film.dcm"))


def bomb(path: Path) -> Path:
    """A film that inflates to two megabytes."""
    return write(chest_film(rows=1000, columns=1000), path, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"data_set_megabytes": 1}, Reason.TOO_LARGE),
        ({"image_megapixels": 1}, None),
        ({}, None),
    ],
)
def test_a_deflated_file_is_not_inflated_beyond_the_limit(
    limits: dict[str, int], reason: Reason | None, tmp_path: Path
) -> None:
    careful = ChestReader(SHIPPED, 0.0, None, LimitsSettings(**limits))
    answer = careful.read(bomb(tmp_path / "bomb.dcm"))
    assert getattr(answer, "reason", None) == reason


def test_an_image_beyond_the_limit_is_too_large(tmp_path: Path) -> None:
    limited = ChestReader(SHIPPED, 0.0, None, LimitsSettings(image_megapixels=1))
    large = write(chest_film(rows=1001, columns=1000), tmp_path / "large.dcm")
    assert limited.read(large) == NotAnalysable(Reason.TOO_LARGE)


@pytest.mark.parametrize(
    "nested",
    [
        b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000,
        (b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 10_000,
    ],
    ids=["many items", "deep"],
)
def test_a_header_of_more_than_is_read_is_unreadable(
    nested: bytes, careful: ChestReader, tmp_path: Path
) -> None:
    content = encoded(chest_film())
    at = content.index(b"\x40\x00\x75\x02SQ")
    path = tmp_path / "nested.dcm"
    path.write_bytes(content[:at] + nested)
    assert careful.read(path) == NotAnalysable(Reason.UNREADABLE_FILE)


def test_no_patient_data_reaches_warnings_logs_or_the_terminal(
    careful: ChestReader,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    canary = "CANARY-7f3a"
    film = chest_film(
        name=Name("ISO_IR 192", canary), PatientBirthDate=canary, PatientAge=canary, StudyDate=canary
    )
    path = write(film, tmp_path / "film.dcm")
    # A character set that nobody knows, and a number that is none: pydicom warns of both, and quotes them.
    content = path.read_bytes().replace(b"ISO_IR 192", b"CANARY-7f3", 1)
    path.write_bytes(content.replace(b"DS\x04\x002048", b"DS\x04\x00CANA", 1))
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(careful.read(path), Prediction)
    printed = capfd.readouterr()
    told = [printed.out, printed.err, caplog.text, *(str(warning.message) for warning in caught)]
    assert not any("CANA" in text for text in told)


def test_warnings_of_others_are_heard_again_afterwards(careful: ChestReader, tmp_path: Path) -> None:
    careful.read(write(chest_film(), tmp_path / "film.dcm"))
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
    assert not logging.getLogger("pydicom").disabled


def real(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    return Path(str(path))


def test_a_real_chest_with_masses_is_called_likely_in_every_coding(careful: ChestReader) -> None:
    answers = [careful.read(real(f"RG1_{coding}.dcm")) for coding in ("UNCR", "UNCI", "J2KR", "J2KI")]
    likely = [each for each in answers if isinstance(each, Prediction) and each.answer is Answer.LIKELY]
    scores = [each.score for each in likely]
    assert len(scores) == 4
    assert max(scores) - min(scores) < 0.01


def test_a_real_leg_is_not_analysable(careful: ChestReader) -> None:
    assert careful.read(real("RG3_UNCR.dcm")) == NotAnalysable(Reason.BODY_PART)


def test_headers_are_not_changed_by_reading(careful: ChestReader, tmp_path: Path) -> None:
    path = write(chest_film(), tmp_path / "film.dcm")
    before = path.read_bytes()
    careful.read(path)
    assert path.read_bytes() == before
    assert dcmread(path).PatientID == "MRN-000123"
