"""Pixels come out of every transfer syntax as they went in, or the image is rejected; nothing else happens."""

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from inference.decoding import decodable_transfer_syntaxes, decode
from inference.errors import ImageRejected
from inference.prediction import Reason
from tests.builders import chest_film, encoded, write
from tests.conftest import PEER_MISSING

pytest.importorskip("gdcm")

# By what dcmtk calls them: program, options, the transfer syntax that comes out.
LOSSLESS = {
    "rle": (["dcmcrle"], RLELossless),
    "jpeg-lossless-sv1": (["dcmcjpeg", "+e1"], JPEGLosslessSV1),
    "jpeg-lossless-14": (["dcmcjpeg", "+el"], JPEGLossless),
    "jpeg-ls": (["dcmcjpls", "+el"], JPEGLSLossless),
}


def with_bits(bits: int) -> Dataset:
    """The phantom in that many bits, the lowest of them in use."""
    twelve = stored(chest_film())
    if bits == 8:
        film = chest_film(BitsAllocated=8, BitsStored=8, HighBit=7)
        film.PixelData = (twelve >> 4).astype("u1").tobytes()
        return film
    film = chest_film(BitsStored=bits, HighBit=bits - 1)
    lowest = np.indices(twelve.shape)[1].astype("<u2") % 2 ** (bits - 12)
    film.PixelData = (twelve << (bits - 12) | lowest).tobytes()
    return film


def stored(film: Dataset) -> NDArray[Any]:
    """The values that were written to a film."""
    kind = np.dtype("u1" if film.BitsAllocated == 8 else "<u2")
    return np.frombuffer(film.PixelData, kind).reshape(film.Rows, film.Columns)


def converted(command: list[str], film: Dataset, folder: Path) -> Dataset:
    """The film as one of dcmtk's programs encodes it."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{PEER_MISSING} dcmtk's {command[0]}")
    source, target = write(film, folder / "plain.dcm"), folder / "coded.dcm"
    subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
    return dcmread(target)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("coding", LOSSLESS)
def test_lossless_coding_changes_no_pixel(coding: str, bits: int, tmp_path: Path) -> None:
    command, syntax = LOSSLESS[coding]
    film = with_bits(bits)
    coded = converted(command, film, tmp_path)
    assert coded.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(decode(coded), stored(film))


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_native_coding_changes_no_pixel(syntax: UID, bits: int) -> None:
    film = with_bits(bits)
    written = stored(film).copy()
    read = dcmread(BytesIO(encoded(film, syntax)))
    assert read.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(decode(read), written)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_big_endian_coding_changes_no_pixel(bits: int) -> None:
    film = dcmread(BytesIO(encoded(with_bits(bits))))
    pixels = stored(film)
    if bits > 8:
        film.PixelData = pixels.astype(">u2").tobytes()
    film.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    film["PixelData"].VR = "OB" if bits == 8 else "OW"
    file = BytesIO()
    dcmwrite(file, film, implicit_vr=False, little_endian=False)
    file.seek(0)
    np.testing.assert_array_equal(decode(dcmread(file)), pixels)


@pytest.mark.parametrize(
    ("command", "syntax", "bits", "most"),
    [
        (["dcmcjpeg", "+eb"], JPEGBaseline8Bit, 8, 25),
        (["dcmcjpeg", "+ee"], JPEGExtended12Bit, 12, 400),
        (["dcmcjpls", "+en", "+md", "3"], JPEGLSNearLossless, 12, 3),
    ],
    ids=["jpeg-baseline", "jpeg-extended", "jpeg-ls-near"],
)
def test_lossy_coding_changes_pixels_by_no_more_than_it_may(
    command: list[str], syntax: UID, bits: int, most: int, tmp_path: Path
) -> None:
    film = with_bits(bits)
    coded = converted(command, film, tmp_path)
    assert coded.file_meta.TransferSyntaxUID == syntax
    assert np.abs(decode(coded).astype(int) - stored(film)).max() <= most


def test_extended_jpeg_of_twelve_bits_is_what_dcmtk_decodes(tmp_path: Path) -> None:
    converted(["dcmcjpeg", "+ee"], with_bits(12), tmp_path)
    coded, plain = tmp_path / "coded.dcm", tmp_path / "again.dcm"
    subprocess.run(["dcmdjpeg", str(coded), str(plain)], check=True, capture_output=True)
    np.testing.assert_array_equal(decode(dcmread(coded)), dcmread(plain).pixel_array)


@pytest.mark.parametrize("coded", ["RG1_J2KR.dcm", "RG3_J2KR.dcm"])
def test_real_films_in_lossless_jpeg_2000_are_their_uncompressed_selves(coded: str) -> None:
    def real(name: str) -> Dataset:
        path = get_testdata_file(name, download=False)
        if path is None:
            pytest.skip("pydicom-data is not installed")
        return dcmread(path)

    np.testing.assert_array_equal(decode(real(coded)), decode(real(coded.replace("J2KR", "UNCR"))))


def test_a_real_film_whose_frame_is_filled_up_with_ff_is_read() -> None:
    path = get_testdata_file("RG3_J2KI.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    assert decode(dcmread(path)).shape == (1760, 1760)


def test_the_receiver_is_told_the_syntaxes_that_are_decoded() -> None:
    told = decodable_transfer_syntaxes()
    assert told[0] == ExplicitVRLittleEndian
    assert len(told) == len(set(told)) == 13
    assert {JPEG2000Lossless, JPEGExtended12Bit, RLELossless, DeflatedExplicitVRLittleEndian} <= set(told)


def broken(film: Dataset, syntax: str, frame: bytes) -> Dataset:
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = UID(syntax)
    film.PixelData = encapsulate([frame])
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = True
    return film


@pytest.mark.parametrize("syntax", decodable_transfer_syntaxes()[4:])
@pytest.mark.parametrize(
    "frame", [b"\xff\xd8\xff\xf7 no picture", b"\0" * 2000, b"x"], ids=["start", "zeros", "x"]
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, about what it cannot decode; the node silences them too
def test_a_broken_stream_is_undecodable(syntax: str, frame: bytes) -> None:
    with pytest.raises(ImageRejected) as rejected:
        decode(broken(chest_film(), syntax, frame))
    assert rejected.value.reason is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize("coding", LOSSLESS)
@pytest.mark.filterwarnings("ignore")
def test_a_stream_of_another_size_than_the_header_says_is_undecodable(coding: str, tmp_path: Path) -> None:
    coded = converted(LOSSLESS[coding][0], chest_film(), tmp_path)
    coded.Rows, coded.Columns = 640, 560
    with pytest.raises(ImageRejected):
        decode(coded)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3"])
def test_a_transfer_syntax_of_no_radiograph_is_undecodable(syntax: str) -> None:
    with pytest.raises(ImageRejected) as rejected:
        decode(broken(chest_film(), syntax, b"video"))
    assert rejected.value.reason is Reason.UNDECODABLE_PIXELS


@pytest.mark.parametrize("coding", LOSSLESS)
def test_a_stream_that_was_cut_off_is_undecodable(coding: str, tmp_path: Path) -> None:
    # Half a film with the rest filled up would be read as a film with a white lung.
    coded = converted(LOSSLESS[coding][0], chest_film(), tmp_path)
    frame = get_frame(coded.PixelData, 0, number_of_frames=1)
    coded.PixelData = encapsulate([frame[: len(frame) // 2]])
    with pytest.raises(ImageRejected) as rejected:
        decode(coded)
    assert rejected.value.reason is Reason.UNDECODABLE_PIXELS
