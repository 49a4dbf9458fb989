"""The decoders that were chosen for their speed give the pixels that pydicom gets of GDCM: those that went in."""

import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1

from inference import gdcm_pixels, lossless_jpeg
from inference.codestream import read_frame
from inference.decoding import decode
from inference.errors import ImageRejected
from tests.builders import chest_film, write
from tests.conftest import PEER_MISSING

pytest.importorskip("dicomsdl")  # for other machines there is none

SIZE = (161, 139)
DEPTHS = {"8": (8, 8), "10": (16, 10), "12": (16, 12), "16": (16, 16), "8 in 16": (16, 8)}
"""Bits allocated and stored."""
CODINGS = {
    **{f"jpeg-lossless-{value}": ["dcmcjpeg", "+el", "+sv", str(value)] for value in range(1, 8)},
    "jpeg-lossless-sv1": ["dcmcjpeg", "+e1"],
    "jpeg-lossless-with-a-point-transform": ["dcmcjpeg", "+el", "+pt", "2"],
    "jpeg-lossless-in-fragments": ["dcmcjpeg", "+e1", "+fs", "1"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "jpeg-ls-cooked": ["dcmcjpls", "+el", "+pc"],
    "jpeg-ls-in-fragments": ["dcmcjpls", "+el", "+fs", "1"],
    "jpeg-ls-near": ["dcmcjpls", "+en", "+md", "3"],
}
LOSSY = {"jpeg-lossless-with-a-point-transform", "jpeg-ls-near"}
CASES = [
    *((coding, "12", False) for coding in CODINGS),
    *product(("jpeg-lossless-sv1", "jpeg-lossless-7", "jpeg-ls"), DEPTHS, (False, True)),
]


def film_of(pixels: NDArray[Any], depth: str = "16", *, signed: bool = False) -> Dataset:
    allocated, stored = DEPTHS[depth]
    film = chest_film(
        BitsAllocated=allocated, BitsStored=stored, HighBit=stored - 1, PixelRepresentation=int(signed)
    )
    film.Rows, film.Columns = pixels.shape
    # a signed value has its sign in its highest stored bit, and nothing above it (PS3.5 8.1.1)
    film.PixelData = (pixels & (2**stored - 1)).astype(f"<u{allocated // 8}").tobytes()
    film.PixelData += b"\0" * (len(film.PixelData) % 2)
    return film


def picture(depth: str, *, signed: bool = False) -> NDArray[np.int64]:
    """Slopes, noise, and edges from the lowest value that can be stored to the highest."""
    bits = DEPTHS[depth][1]
    dice = np.random.default_rng(bits)
    rows, columns = np.indices(SIZE)
    found = (rows * 2**bits // 200 + columns + dice.integers(0, 9, SIZE)) % 2**bits
    found[40:60, 20:120] = np.where(columns[40:60, 20:120] % 3 == 0, 0, 2**bits - 1)
    found[60:70] = dice.integers(0, 2**bits, (10, SIZE[1]))
    return found - 2 ** (bits - 1) if signed else found


def coded(command: list[str], film: Dataset, folder: Path) -> Dataset:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{PEER_MISSING} dcmtk's {command[0]}")
    source, target = write(film, folder / "plain.dcm"), folder / "coded.dcm"
    subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
    return dcmread(target)


def by(plugin: str, film: Dataset) -> NDArray[Any]:
    decoder = get_decoder(UID(film.file_meta.TransferSyntaxUID))
    pixels, _ = decoder.as_array(film, index=0, decoding_plugin=plugin, correct_unused_bits=True)
    return pixels


def by_dicomsdl(film: Dataset) -> NDArray[Any] | None:
    """What dicomsdl alone makes of it: cells without a sign."""
    src = get_frame(film.PixelData, 0, number_of_frames=1)
    cells = lossless_jpeg.decode_undamaged(src, read_frame(src), film.file_meta.TransferSyntaxUID)
    kind = f"<u{film.BitsAllocated // 8}"
    return None if cells is None else np.frombuffer(cells, kind).reshape(film.Rows, film.Columns)


@pytest.mark.parametrize(("coding", "depth", "signed"), dict.fromkeys(CASES))
def test_every_decoder_gives_the_same_pixels(coding: str, depth: str, signed: bool, tmp_path: Path) -> None:
    written = picture(depth, signed=signed)
    film = coded(CODINGS[coding], film_of(written, depth, signed=signed), tmp_path)
    expected = by("gdcm", film)
    np.testing.assert_array_equal(by(gdcm_pixels.LABEL, film), expected)
    found = decode(film)
    assert found.dtype == expected.dtype
    if coding not in LOSSY:
        np.testing.assert_array_equal(found, written)
    if not (
        signed and coding.startswith("jpeg-ls")
    ):  # where pydicom forgets the sign of fewer bits than the cell's
        np.testing.assert_array_equal(found, expected)
    if coding.startswith("jpeg-lossless") and depth != "8 in 16":  # which is left to GDCM
        unsigned = found.astype("i8") & (2 ** DEPTHS[depth][1] - 1)
        np.testing.assert_array_equal(by_dicomsdl(film), unsigned)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("depth", ["8", "10", "12", "16"])
def test_jpeg_2000_gives_the_same_pixels(depth: str, signed: bool) -> None:
    written = picture(depth, signed=signed)
    film = film_of(written, depth, signed=signed)
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    film.compress(JPEG2000Lossless, generate_instance_uid=False)
    np.testing.assert_array_equal(by("gdcm", film), written)
    np.testing.assert_array_equal(decode(film), written)


def test_colour_goes_the_way_it_went(tmp_path: Path) -> None:
    film = chest_film(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    film.BitsAllocated, film.BitsStored, film.HighBit = 8, 8, 7
    film.Rows, film.Columns = 160, 140
    pixels = np.random.default_rng(0).integers(0, 256, (160, 140, 3), dtype="u1")
    film.PixelData = pixels.tobytes()
    for command in (["dcmcjpeg", "+e1"], ["dcmcjpls", "+el"]):
        found = coded(command, film, tmp_path)
        np.testing.assert_array_equal(decode(found), pixels)
        np.testing.assert_array_equal(decode(found), by("gdcm", found))


def jpeg_lossless(pixels: NDArray[np.int64], *, restart_rows: int = 0) -> bytes:
    """Encode 16 bits with selection value 1 (ITU-T T.81 annex H), starting anew after so many rows."""
    rows, columns = pixels.shape
    predicted = np.empty_like(pixels)
    predicted[:, 1:] = pixels[:, :-1]
    predicted[1:, 0] = pixels[:-1, 0]
    predicted[:: restart_rows or rows, 0] = 2**15
    difference = (pixels - predicted + 2**15 - 1) % 2**16 - 2**15 + 1  # -32767 to 32768
    stream = (
        b"\xff\xd8\xff\xc3\0\x0b\x10" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\1\1\x11\0"
    )
    # one Huffman table: 17 codes of five bits, for differences of 0 to 16 bits
    stream += b"\xff\xc4\0\x24\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    if restart_rows:
        stream += b"\xff\xdd\0\4" + (restart_rows * columns).to_bytes(2, "big")
    stream += b"\xff\xda\0\x08\1\1\0\1\0\0"
    parts = []
    for first in range(0, rows, restart_rows or rows):
        codes = [_code(int(each)) for each in difference[first : first + (restart_rows or rows)].flat]
        bits = "".join(codes)
        bits += "1" * (-len(bits) % 8)
        parts.append(int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0"))
    stream += parts[0]
    for number, part in enumerate(parts[1:]):
        stream += bytes([0xFF, 0xD0 + number % 8]) + part
    return stream + b"\xff\xd9"


def _code(difference: int) -> str:
    size = abs(difference).bit_length()
    if size in (0, 16):
        return f"{size:05b}"
    return f"{size:05b}{difference if difference > 0 else difference + 2**size - 1:0{size}b}"


def with_frame(film: Dataset, frame: bytes, syntax: UID = JPEGLosslessSV1) -> Dataset:
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = syntax
    film.PixelData = encapsulate([frame])
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = True
    return film


@pytest.mark.parametrize("restart_rows", [0, 1, 16], ids=["none", "every row", "every 16 rows"])
def test_restart_intervals_and_the_largest_difference_change_no_pixel(restart_rows: int) -> None:
    pixels = picture("16")
    pixels[100, 1::2], pixels[100, 0::2] = 0, 2**15  # differences of 32,768, which have a code of their own
    film = with_frame(film_of(pixels), jpeg_lossless(pixels, restart_rows=restart_rows))
    np.testing.assert_array_equal(by_dicomsdl(film), pixels)
    np.testing.assert_array_equal(decode(film), pixels)


def test_where_dicomsdl_is_not_installed_gdcm_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = coded(["dcmcjpeg", "+e1"], film_of(picture("12"), "12"), tmp_path)
    monkeypatch.setitem(sys.modules, "dicomsdl", None)
    assert by_dicomsdl(film) is None
    np.testing.assert_array_equal(decode(film), picture("12"))


def test_cells_wider_than_the_frame_are_left_to_gdcm(tmp_path: Path) -> None:
    film = coded(["dcmcjpeg", "+e1"], film_of(picture("8"), "8"), tmp_path)
    film.BitsAllocated = 16
    np.testing.assert_array_equal(decode(film), by("gdcm", film))


def test_a_damaged_frame_is_left_to_gdcm() -> None:
    pixels = picture("16")
    frame = jpeg_lossless(pixels)
    film = with_frame(film_of(pixels), frame[: len(frame) // 2] + b"\xff\xd9")
    assert by_dicomsdl(film) is None
    np.testing.assert_array_equal(decode(film), by("gdcm", film))


@pytest.mark.parametrize("marker", [b"\xff\x01", b"\xff\xd0", b"\xff\xd8"], ids=["TEM", "RST0", "SOI"])
@pytest.mark.filterwarnings("ignore")  # pydicom's, about what it cannot decode
def test_a_frame_that_hides_another_one_is_undecodable(marker: bytes) -> None:
    # A marker without a length: whoever gives it one passes over the next bytes, whoever does not reads a frame there.
    pixels = picture("16")
    frame = jpeg_lossless(pixels)
    large = frame[2:13].replace(pixels.shape[0].to_bytes(2, "big"), b"\xff\xf0")
    hidden = large + b"\0" * (0xFFC3 - len(large)) + frame[2:]
    with pytest.raises(ValueError, match="before a frame header"):
        read_frame(frame[:2] + marker + hidden)
    with pytest.raises(ImageRejected):
        decode(with_frame(film_of(pixels), frame[:2] + marker + hidden))
