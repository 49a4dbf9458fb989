"""What the receiver reads of a data set before it answers, whatever the data set is."""

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.errors import DataSetRefused
from dicom_node.header import CANNOT_UNDERSTAND, DOES_NOT_MATCH, read_header, read_identity
from dicom_node.intake import stored_only
from dicom_node.results.equipment import MANUFACTURER
from dicom_node.results.source import reference_to
from tests.builders import chest_film, encoded, write


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_identity_is_read_in_every_encoding(tmp_path: Path, syntax: str) -> None:
    film = chest_film()
    identity = read_identity(write(film, tmp_path / "film.dcm", syntax))  # type: ignore[arg-type]
    assert identity.sop_class_uid == film.SOPClassUID
    assert identity.sop_instance_uid == film.SOPInstanceUID
    assert identity.study_instance_uid == film.StudyInstanceUID
    assert identity.series_instance_uid == film.SeriesInstanceUID
    assert identity.accession_number == "ACC-77"
    assert identity.transfer_syntax_uid == syntax


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize(
    "start", [b"../../etc/passwd", b"1.2.3\0/x", b"1.2.x", "\uff11.\uff12".encode(), b" 1.2 "]
)
def test_what_is_no_uid_is_refused(tmp_path: Path, keyword: str, start: bytes) -> None:
    film = chest_film()
    uid = film[keyword].value.encode()
    path = tmp_path / "film.dcm"
    path.write_bytes(encoded(film).replace(uid, start + uid[len(start) :]))
    with pytest.raises(DataSetRefused) as refused:
        read_identity(path)
    assert refused.value.status == CANNOT_UNDERSTAND
    assert keyword in refused.value.comment


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_missing_or_empty_uid_is_refused(tmp_path: Path, keyword: str) -> None:
    for film in (chest_film(without=[keyword]), chest_film(**{keyword: ""})):
        with pytest.raises(DataSetRefused, match=keyword):
            read_identity(write(film, tmp_path / "film.dcm"))


def test_an_object_under_another_name_than_its_own_is_refused(tmp_path: Path) -> None:
    film = chest_film()
    content = encoded(film)
    other = film.SOPInstanceUID[:-1] + ("1" if film.SOPInstanceUID[-1] != "1" else "2")
    # the first time that the UID stands in the file is in its meta information: what the request named
    path = tmp_path / "film.dcm"
    path.write_bytes(content.replace(film.SOPInstanceUID.encode(), other.encode(), 1))
    with pytest.raises(DataSetRefused) as refused:
        read_identity(path)
    assert refused.value.status == DOES_NOT_MATCH


NAMES = [
    ("", "Kowalska^Ewa", "Kowalska^Ewa"),
    ("ISO_IR 100", "Müller^Jürgen", "Müller^Jürgen"),
    ("ISO_IR 192", "Żółć^Łukasz", "Żółć^Łukasz"),
    ("ISO_IR 144", "Жук^Яна", "Жук^Яна"),
    ("GB18030", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("ISO_IR 100", "A" * 300, "A" * 194),
]


@pytest.mark.parametrize(("character_set", "written", "expected"), NAMES)
def test_a_name_is_read_by_its_character_set(
    tmp_path: Path, character_set: str | list[str], written: str, expected: str
) -> None:
    film = chest_film(SpecificCharacterSet=character_set, PatientName=written)
    path = write(film, tmp_path / "film.dcm")
    assert read_identity(path).patient_name == expected


@pytest.mark.parametrize(
    ("character_set", "raw", "expected"),
    [
        (b"ISO_IR 999", b"M\xfcller", "Müller"),  # unknown: Latin-1, as pydicom takes it
        (b"ISO_IR 192", b"M\xfcller", "M\ufffdller"),
        (b"ISO_IR 192", b"\x1b$B\xff\x00Mu", "$B\ufffdMu"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3\x1b(B^\x1b", "山^"),
        (b"utf_8_sig\\zip", b"A\x1bB\n\x07C", "ABC"),
        (b"", b"Doe^\xe2\x80\xaeJane\x00 ", "Doe^â\xaeJane"),
    ],
)
def test_a_name_in_no_character_set_is_read_as_far_as_it_can_be(
    tmp_path: Path, character_set: bytes, raw: bytes, expected: str
) -> None:
    film = chest_film(SpecificCharacterSet="ISO_IR 100", PatientName="N" * (len(raw) + len(raw) % 2))
    content = encoded(film).replace(b"CS\x0a\x00ISO_IR 100", b"CS" + _value(character_set))
    path = tmp_path / "film.dcm"
    path.write_bytes(content.replace(b"N" * (len(raw) + len(raw) % 2), raw + b" " * (len(raw) % 2)))
    assert read_identity(path).patient_name == expected


def _value(raw: bytes) -> bytes:
    padded = raw + b" " * (len(raw) % 2)
    return len(padded).to_bytes(2, "little") + padded


def test_view_and_device_are_read(tmp_path: Path) -> None:
    film = chest_film(ViewPosition="LATERAL", Manufacturer="Röntgen AG", ManufacturerModelName=" DX 7")
    identity = read_identity(write(film, tmp_path / "film.dcm"))
    assert (identity.view_position, identity.device) == ("LATERAL", "Röntgen AG DX 7")
    film = chest_film(without=["ViewPosition", "Manufacturer", "ManufacturerModelName"])
    identity = read_identity(write(film, tmp_path / "film.dcm"))
    assert (identity.view_position, identity.device) == ("", "")


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path) -> None:
    start = encoded(chest_film(), DeflatedExplicitVRLittleEndian)
    meta_length = int.from_bytes(start[140:144], "little") + 144
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # (0008,0005) of 2 GiB of blanks, before any UID
    head = b"\x08\x00\x05\x00UN\0\0" + (2**31 - 2).to_bytes(4, "little")
    bomb = (
        squeeze.compress(head) + b"".join(squeeze.compress(b" " * 2**20) for _ in range(64)) + squeeze.flush()
    )
    path = tmp_path / "bomb.dcm"
    path.write_bytes(start[:meta_length] + bomb)
    with pytest.raises(DataSetRefused):
        read_identity(path)


def test_sequences_nested_ten_thousand_deep_are_refused(tmp_path: Path) -> None:
    start = encoded(chest_film())
    meta_length = int.from_bytes(start[140:144], "little") + 144
    nested = (b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 10_000
    path = tmp_path / "nested.dcm"
    path.write_bytes(start[:meta_length] + nested)
    with pytest.raises(DataSetRefused):
        read_identity(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), cut=st.integers(0, 1500))
def test_any_bytes_end_as_identity_or_refusal(tmp_path: Path, data: bytes, cut: int) -> None:
    path = tmp_path / "bytes.dcm"
    path.write_bytes(encoded(chest_film(rows=8, columns=8))[:cut] + data)
    try:
        read_identity(path)
    except DataSetRefused as refused:
        assert refused.status in (CANNOT_UNDERSTAND, DOES_NOT_MATCH)


def test_a_file_that_breaks_off_still_tells_its_study(tmp_path: Path) -> None:
    film = chest_film()
    path = tmp_path / "cut.dcm"
    content = encoded(film)
    path.write_bytes(content[: content.index(film.StudyInstanceUID.encode(), 1000) + 200])
    assert read_header(path).StudyInstanceUID == film.StudyInstanceUID


@pytest.mark.parametrize(
    ("name", "sop_class", "manufacturer", "enabled", "expected"),
    [
        ("CR", "1.2.840.10008.5.1.4.1.1.1", "", False, None),
        ("DX for presentation", "1.2.840.10008.5.1.4.1.1.1.1", "", False, None),
        ("DX for processing", "1.2.840.10008.5.1.4.1.1.1.1.1", "", False, None),
        ("CT", "1.2.840.10008.5.1.4.1.1.2", "", False, None),
        ("SC", "1.2.840.10008.5.1.4.1.1.7", "", False, "secondary_capture"),
        ("SC of a film converter", "1.2.840.10008.5.1.4.1.1.7", "", True, None),
        ("multi-frame SC", "1.2.840.10008.5.1.4.1.1.7.2", "", False, "secondary_capture"),
        ("KO", "1.2.840.10008.5.1.4.1.1.88.59", "", True, "not_an_image"),
        ("PR", "1.2.840.10008.5.1.4.1.1.11.1", "", True, "not_an_image"),
        ("SR", "1.2.840.10008.5.1.4.1.1.88.34", "", True, "not_an_image"),
        ("private class", "1.2.3.4.5", "", True, "not_an_image"),
        ("own heatmap", "1.2.840.10008.5.1.4.1.1.7", MANUFACTURER, True, "own_result"),
        ("own report", "1.2.840.10008.5.1.4.1.1.88.34", MANUFACTURER, False, "own_result"),
    ],
)
def test_what_is_analysed_and_what_is_only_kept(
    tmp_path: Path, name: str, sop_class: str, manufacturer: str, enabled: bool, expected: str | None
) -> None:
    film: Dataset = chest_film(name, SOPClassUID=sop_class, Manufacturer=manufacturer)
    identity = read_identity(write(film, tmp_path / "film.dcm"))
    assert stored_only(identity, analyse_secondary_capture=enabled) == expected


def test_a_character_set_that_is_none_still_tells_the_study(tmp_path: Path) -> None:
    film = chest_film()
    path = tmp_path / "film.dcm"
    path.write_bytes(encoded(film).replace(b"CS\x0a\x00ISO_IR 192", b"CS\x0a\x00ISO\0IR\\192"))
    start = read_header(path)
    assert start.StudyInstanceUID == film.StudyInstanceUID
    assert reference_to(start) is not None
