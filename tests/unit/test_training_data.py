"""A hospital's own films, or a public set as it was downloaded, are read; faults are named to be mended."""

import csv
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.errors import DataUnusable
from inference.films.data import Film, load_film, read_films
from inference.films.layouts import opacity_probability
from tests.builders import chest_film, write


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)
    return path


def write_manifest(folder: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    columns = dict.fromkeys(column for row in rows for column in row)
    with (folder / "manifest.csv").open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    return folder


def row(folder: Path, number: int = 0, **cells: str) -> dict[str, str]:
    draw(folder / f"{number}.png", number)
    return {"file": f"{number}.png", "label": "normal", "patient": f"p{number}"} | cells


def only(folder: Path, **cells: str) -> Film:
    return read_films(write_manifest(folder, row(folder, **cells)))[0]


def fault_of(folder: Path) -> str:
    with pytest.raises(DataUnusable) as raised:
        read_films(folder)
    return str(raised.value)


def by_name(films: Sequence[Film]) -> dict[str, Film]:
    return {film.path.name: film for film in films}


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_three_columns_suffice(tmp_path: Path) -> None:
    film = only(tmp_path)
    assert (film.path, film.patient, film.source, film.positive) == (tmp_path / "0.png", "p0", "site", False)
    assert (film.test, film.duplicate, film.view, film.sex, film.subtype) == (False, False, "", "", "")
    assert (film.age, film.boxes, film.probability) == (None, (), None)


def test_every_column_is_read(tmp_path: Path) -> None:
    told = {"source": "A", "split": "test", "view": "AP", "sex": "F", "age": "0.5", "subtype": "virus"}
    film = only(tmp_path, **told, boxes="1 2 30 40|5 6 7 8", probability="0.25")
    assert (film.source, film.test, film.view, film.sex, film.subtype) == ("A", True, "AP", "F", "virus")
    assert (film.age, film.probability) == (0.5, 0.25)
    assert film.boxes == ((1, 2, 31, 42), (5, 6, 12, 14))


@pytest.mark.parametrize(
    ("label", "findings", "positive"),
    [
        ("pneumonia", "", True),
        ("normal", "No Finding", False),
        ("other", "Hernia", None),
        ("other", "Effusion|Consolidation", True),
        ("other", "Infiltration", True),
    ],
)
def test_opacities_are_positive_and_other_findings_are_neither(
    label: str, findings: str, positive: bool | None, tmp_path: Path
) -> None:
    assert only(tmp_path, label=label, findings=findings).positive is positive


@pytest.mark.parametrize(
    ("label", "probability", "target"),
    [
        ("pneumonia", "", 1.0),
        ("normal", "", 0.0),
        ("other", "", None),
        ("pneumonia", "0.4", 0.4),
        ("other", "0", 0.0),
    ],
)
def test_training_aims_at_the_probability_and_else_at_the_label(
    label: str, probability: str, target: float | None, tmp_path: Path
) -> None:
    film = only(tmp_path, label=label, probability=probability)
    assert film.target == target
    assert film.positive is {"pneumonia": True, "normal": False, "other": None}[label]


def test_all_films_of_a_patient_are_on_one_side(tmp_path: Path) -> None:
    rows = [row(tmp_path, number, patient=f"p{number // 2}") for number in range(60)]
    sides: dict[str, set[bool]] = {}
    for film in read_films(write_manifest(tmp_path, *rows)):
        sides.setdefault(film.patient, set()).add(film.validation)
    assert all(len(side) == 1 for side in sides.values())
    assert {next(iter(side)) for side in sides.values()} == {True, False}


def test_a_patient_of_test_films_has_no_others(tmp_path: Path) -> None:
    rows = [row(tmp_path, 0, patient="p"), row(tmp_path, 1, patient="p", split="test")]
    assert "line 2: split: this patient has test films" in fault_of(write_manifest(tmp_path, *rows))


def test_equal_films_of_two_folders_are_learnt_from_once(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        write_manifest(folder, row(folder, 0))
    assert [film.duplicate for film in read_films(*folders)] == [False, True]


def test_a_test_film_is_never_for_training_even_as_a_duplicate(tmp_path: Path) -> None:
    learnt, tested = row(tmp_path, 0), row(tmp_path, 1, split="test")
    (tmp_path / "0.png").write_bytes((tmp_path / "1.png").read_bytes())
    films = by_name(read_films(write_manifest(tmp_path, learnt, tested)))
    assert films["0.png"].duplicate
    assert not films["1.png"].duplicate
    assert films["1.png"].test
    assert not films["1.png"].validation


def test_films_of_one_size_are_duplicates_only_if_equal(tmp_path: Path) -> None:
    rows = [row(tmp_path, number) for number in range(3)]
    for number, content in enumerate((b"same", b"else", b"same")):
        (tmp_path / f"{number}.png").write_bytes(content)
    films = by_name(read_films(write_manifest(tmp_path, *rows)))
    assert [films[f"{number}.png"].duplicate for number in range(3)] == [False, False, True]


def test_a_manifest_saved_by_excel_is_read(tmp_path: Path) -> None:
    assert read_films(write_manifest(tmp_path, row(tmp_path), encoding="utf-8-sig"))[0].patient == "p0"


# --- DICOM files -----------------------------------------------------------------------------------------------------


def test_the_header_tells_what_the_manifest_does_not(tmp_path: Path) -> None:
    write(chest_film(view="AP"), tmp_path / "film.dcm")
    (film,) = read_films(write_manifest(tmp_path, {"file": "film.dcm", "label": "pneumonia"}))
    assert (film.patient, film.view, film.sex, film.age) == ("MRN-000123", "AP", "F", 69.0)


def test_the_manifest_is_right_where_the_header_tells_otherwise(tmp_path: Path) -> None:
    write(chest_film(view="AP"), tmp_path / "film.dcm")
    told = {"file": "film.dcm", "label": "normal", "patient": "P", "view": "PA", "sex": "", "age": "70"}
    (film,) = read_films(write_manifest(tmp_path, told))
    assert (film.patient, film.view, film.sex, film.age) == ("P", "PA", "F", 70.0)


def test_a_header_of_nonsense_tells_nothing(tmp_path: Path) -> None:
    header = chest_film(ViewPosition="UPRIGHT", PatientSex="?", PatientAge="411Y")
    write(header, tmp_path / "film.dcm")
    (film,) = read_films(write_manifest(tmp_path, {"file": "film.dcm", "label": "normal", "patient": "P"}))
    assert (film.view, film.sex, film.age) == ("", "", None)


def test_a_dicom_film_without_any_patient_is_a_fault(tmp_path: Path) -> None:
    write(chest_film(without=["PatientID"]), tmp_path / "film.dcm")
    assert "line 2: patient" in fault_of(write_manifest(tmp_path, {"file": "film.dcm", "label": "normal"}))


def test_no_patient_is_told_to_screen_or_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(chest_film(PatientID="CANARY"), tmp_path / "film.dcm")
    # pydicom warns of a character set that it does not know, by its name.
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"CANARY-7f3", 1))
    write_manifest(tmp_path, {"file": "film.dcm", "label": "normal"})
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (read,) = read_films(tmp_path)
        load_film(path)
    assert read.patient == "CANARY"
    assert (
        "CANARY" not in f"{read!r}{caplog.text}{capsys.readouterr()}{[str(each.message) for each in warned]}"
    )


def test_a_dicom_film_is_learnt_from_as_the_node_sees_it(tmp_path: Path) -> None:
    from inference.preprocessing import network_input

    film = write(chest_film(photometric="MONOCHROME1"), tmp_path / "film.dcm")
    pixels = load_film(film).pixels
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / "film.png")
    np.testing.assert_allclose(
        network_input(load_film(tmp_path / "film.png").pixels, 224), network_input(pixels, 224), atol=0.01
    )


def test_pictures_of_8_and_16_bits_and_in_colour_are_the_same_film(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "colour.png")
    for name in ("8.png", "16.png", "colour.png"):
        np.testing.assert_allclose(load_film(tmp_path / name).pixels, grey / 255, atol=1e-6)


def test_a_film_that_the_node_would_refuse_is_refused_with_its_reason(tmp_path: Path) -> None:
    film = write(chest_film(NumberOfFrames=2), tmp_path / "film.dcm")
    with pytest.raises(DataUnusable, match="more than one frame"):
        load_film(film)


@pytest.mark.parametrize("name", ["film.png", "film.dcm"])
def test_a_damaged_film_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(DataUnusable, match=name):
        load_film(tmp_path / name)


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"label": "CANARY"}, "label: write normal, pneumonia, other"),
        ({"label": ""}, "label: write normal, pneumonia, other"),
        ({"patient": ""}, "patient: write who it is"),
        ({"split": "Test"}, "split: write train, test or nothing"),
        ({"view": "CANARY"}, "view: write AP, PA or nothing"),
        ({"sex": "CANARY"}, "sex: write F, M, O or nothing"),
        ({"subtype": "CANARY"}, "subtype: write bacteria, virus or nothing"),
        ({"age": "CANARY"}, "age: write years, 0 to 120, or nothing"),
        ({"age": "411"}, "age: write years, 0 to 120, or nothing"),
        ({"probability": "1.5"}, "probability: write a number from 0 to 1, or nothing"),
        ({"probability": "nan"}, "probability: write a number from 0 to 1, or nothing"),
        ({"boxes": "1 2 3"}, "boxes: write x y width height in whole pixels"),
        ({"boxes": "1 2 0 4"}, "boxes: write x y width height in whole pixels"),
        ({"file": "CANARY.png"}, "file: there is no such file"),
        ({"file": ""}, "file: there is no such file"),
        ({"file": "manifest.csv"}, "file: neither a picture"),
    ],
)
def test_a_fault_is_told_by_line_column_and_mend_and_not_by_its_value(
    cells: dict[str, str], told: str, tmp_path: Path
) -> None:
    write_manifest(tmp_path, row(tmp_path, 0), row(tmp_path, 1, **cells))
    fault = fault_of(tmp_path)
    assert fault.startswith(f"{tmp_path / 'manifest.csv'}: line 3: {told}")
    assert "CANARY" not in fault


def test_all_faults_are_told_at_once_up_to_ten(tmp_path: Path) -> None:
    write_manifest(
        tmp_path,
        row(tmp_path, 0, label="ill", file="gone.png"),
        row(tmp_path, 1),
        row(tmp_path, 2, label="ill"),
    )
    fault = fault_of(tmp_path)
    assert "3 faults" in fault
    assert [line.split(":")[0].strip() for line in fault.splitlines()[1:]] == ["line 2", "line 2", "line 4"]
    write_manifest(tmp_path, *(row(tmp_path, number, label="ill") for number in range(14)))
    assert len(fault_of(tmp_path).splitlines()) == 12
    assert fault_of(tmp_path).endswith("and 4 more")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file;label;patient\n")
    assert "no column file, label" in fault_of(tmp_path)


def test_a_manifest_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes("file,label,patient\nMüller.png,normal,1\n".encode("latin-1"))
    assert "UTF-8" in fault_of(tmp_path)


def test_a_folder_that_holds_nothing_known_tells_what_it_could_hold(tmp_path: Path) -> None:
    fault = fault_of(tmp_path)
    assert "manifest.csv" in fault
    assert "chest_xray/train/NORMAL" in fault
    assert "Data_Entry_2017.csv" in fault


# --- Kermany's set ---------------------------------------------------------------------------------------------------

KERMANY = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0529-0001.jpeg",
    "train/NORMAL/IM-0131-0001-0002.jpeg",
    "train/PNEUMONIA/person1000_bacteria_2931.jpeg",
    "train/PNEUMONIA/person1000_virus_1681.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg",
    "test/PNEUMONIA/person100_virus_475.jpeg",
)


@pytest.fixture
def kermany(tmp_path: Path) -> Path:
    for number, name in enumerate(KERMANY):
        draw(tmp_path / "chest_xray" / name, number)
    (tmp_path / "chest_xray/train/NORMAL/.DS_Store").write_bytes(b"Mac")
    for leftover in ("__MACOSX/chest_xray/train/NORMAL", "chest_xray/train/NORMAL"):
        (tmp_path / leftover).mkdir(parents=True, exist_ok=True)
        (tmp_path / leftover / "._IM-0115-0001.jpeg").write_bytes(b"Mac")
    return tmp_path


def test_kermanys_set_is_read_as_downloaded(kermany: Path) -> None:
    films = by_name(read_films(kermany))
    assert len(films) == len(KERMANY)
    for name in KERMANY:
        film = films[Path(name).name]
        assert film.test is name.startswith("test")
        assert film.positive is ("PNEUMONIA" in name)
        assert (film.source, film.view) == ("kermany", "AP")
        assert film.subtype == next((kind for kind in ("bacteria", "virus") if kind in name), "")


def test_its_folder_or_the_one_around_it_may_be_named(kermany: Path) -> None:
    assert read_films(kermany) == read_films(kermany / "chest_xray")


def test_patients_are_told_by_their_files_names(kermany: Path) -> None:
    films = by_name(read_films(kermany))
    assert films["IM-0131-0001-0002.jpeg"].patient == "kermany-IM-0131"
    assert films["NORMAL2-IM-1427-0001.jpeg"].patient == "kermany-NORMAL2-IM-1427"
    assert films["person1000_bacteria_2931.jpeg"].patient == "kermany-bacteria-1000"
    assert films["person1000_virus_1681.jpeg"].patient == "kermany-virus-1000"


def test_its_third_version_has_other_names(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("NORMAL/NORMAL-1049278-0002", "PNEUMONIA/BACTERIA-30629-0001", "PNEUMONIA/VIRUS-7-0003")
    ):
        draw(tmp_path / "chest_xray/train" / f"{name}.jpeg", number)
    told = {(film.patient, film.subtype) for film in read_films(tmp_path)}
    assert told == {
        ("kermany-NORMAL-1049278", ""),
        ("kermany-bacteria-30629", "bacteria"),
        ("kermany-virus-7", "virus"),
    }


def test_other_films_in_such_folders_want_a_manifest(kermany: Path) -> None:
    draw(kermany / "chest_xray/train/NORMAL/film1.png")
    assert "chest_xray/train/NORMAL/film1.png: its name tells no patient; write a manifest.csv" in fault_of(
        kermany
    )


def test_a_manifest_goes_before_a_layout(kermany: Path) -> None:
    assert len(read_films(write_manifest(kermany, row(kermany)))) == 1


# --- NIH ChestX-ray14 ------------------------------------------------------------------------------------------------

NIH_HEADERS = {
    "first": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "2020": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    "quoted": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    '"OriginalImage[Width,Height]","OriginalImagePixelSpacing[x,y]"',
}
NIH_LINES = (
    "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143",
    "00000002_000.png,No Finding,0,2,81,F,PA,2500,2048,0.171,0.171",
    "00000003_003.png,Infiltration|Pneumonia,3,3,411,F,AP,2582,2991,0.143,0.143",
    "00000004_000.png,Effusion|Consolidation,0,4,82,M,AP,2582,2991,0.143,0.143",
)


def make_nih(folder: Path, header: str = NIH_HEADERS["first"], lines: Sequence[str] = NIH_LINES) -> Path:
    (folder / "Data_Entry_2017.csv").write_text("\n".join((header, *lines)) + "\n")
    for number, line in enumerate(lines):
        draw(folder / f"images_{number % 2 + 1:03}/images" / line.split(",")[0], number)
    return folder


@pytest.mark.parametrize("header", NIH_HEADERS)
def test_nihs_set_is_read_as_downloaded(header: str, tmp_path: Path) -> None:
    films = by_name(read_films(make_nih(tmp_path, NIH_HEADERS[header])))
    assert [film.positive for _, film in sorted(films.items())] == [None, False, True, True]
    first = films["00000001_000.png"]
    assert first.path == tmp_path / "images_001/images/00000001_000.png"
    assert (first.patient, first.source, first.view, first.sex, first.age) == (
        "nih-1",
        "nih",
        "PA",
        "M",
        58.0,
    )
    assert films["00000002_000.png"].age == 81.0
    assert films["00000003_003.png"].age is None  # nobody is 411 years old
    assert not any(film.test for film in films.values())


def test_its_test_list_is_the_test_split(tmp_path: Path) -> None:
    make_nih(tmp_path)
    (tmp_path / "test_list.txt").write_text("00000002_000.png\r\n00000009_000.png")
    assert [film.path.name for film in read_films(tmp_path) if film.test] == ["00000002_000.png"]


def test_part_of_its_pictures_will_do_but_not_none(tmp_path: Path) -> None:
    make_nih(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("00000001_000.png", "00000003_003.png"):
        (tmp_path / "images_001/images" / name).rename(tmp_path / "images" / name)
    (tmp_path / "images_002/images/00000002_000.png").unlink()
    assert set(by_name(read_films(tmp_path))) == {"00000001_000.png", "00000003_003.png", "00000004_000.png"}
    for picture in tmp_path.rglob("*.png"):
        picture.unlink()
    assert "unpack" in fault_of(tmp_path)


def test_its_boxes_of_opacities_are_read_in_whole_pixels(tmp_path: Path) -> None:
    make_nih(tmp_path)
    lines = ("Image Index,Finding Label,Bbox [x,y,w,h],,,", "00000003_003.png,Pneumonia,10.4,20.6,30.2,40.1")
    more = ("00000003_003.png,Infiltrate,1,2,3,4", "00000001_000.png,Cardiomegaly,1,2,3,4")
    (tmp_path / "BBox_List_2017.csv").write_text("\n".join((*lines, *more)))
    films = by_name(read_films(tmp_path))
    assert films["00000003_003.png"].boxes == ((10, 21, 40, 61), (1, 2, 4, 6))
    assert films["00000001_000.png"].boxes == ()


@pytest.mark.parametrize(("findings", "follow_up"), [("Pneumonla", "0"), ("Pneumonia", "x"), ("", "0")])
def test_a_damaged_table_of_nihs_is_named_by_line(findings: str, follow_up: str, tmp_path: Path) -> None:
    make_nih(tmp_path, lines=[*NIH_LINES, f"00000005_000.png,{findings},{follow_up},5,60,M,PA"])
    assert "Data_Entry_2017.csv: line 6: " in fault_of(tmp_path)


def test_training_aims_between_mined_labels_and_what_radiologists_say(tmp_path: Path) -> None:
    films = by_name(read_films(make_nih(tmp_path)))
    told = {name: film.probability for name, film in films.items()}
    # log odds -2.52 - 0.34 + 1.29 / 2; -2.52 + 0.51 / 2; -2.52 + 0.65 + 1.12 + 0.44 * log2(1 + 3) + 1.29 / 2;
    # -2.52 + 1.47 + 0.97 + 1.29 / 2; the first is neither an opacity nor normal
    assert told == pytest.approx(
        {
            "00000001_000.png": 0.098,
            "00000002_000.png": 0.094 / 2,
            "00000003_003.png": (1 + 0.685) / 2,
            "00000004_000.png": (1 + 0.638) / 2,
        },
        abs=0.001,
    )


def test_patients_who_were_filmed_often_are_likelier_ill() -> None:
    assert opacity_probability(["Pneumonia"], 9) > opacity_probability(["Pneumonia"], 0)
