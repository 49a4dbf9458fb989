"""Pixel data to stored values, in every transfer syntax that the installed decoders know.

Sizes are checked from the header before anything is decoded, so that a small file cannot ask for gigabytes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
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
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from config.sections import LimitsSettings
from inference import gdcm_pixels, lossless_jpeg
from inference.codestream import read_frame
from inference.errors import ImageRejected
from inference.header import text, values, whole
from inference.prediction import Reason

LARGEST_IMAGE: Final = LimitsSettings().image_pixels
"""Where no settings are at hand."""
SMALLEST_SIDE: Final = 128
"""Pixels; below this a film shows no lung markings."""

_NATIVE: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
_CODESTREAMS: Final = (
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)
_RLE_HEADER: Final = 64  # bytes (PS3.5 G.5)
_PALETTE: Final = "PALETTE COLOR"

StoredValues = NDArray[np.integer]

gdcm_pixels.register()
lossless_jpeg.register()


def decodable_transfer_syntaxes() -> tuple[str, ...]:
    """The UIDs of the transfer syntaxes whose pixel data can be read here, those without loss first."""
    return tuple(
        str(syntax) for syntax in (*_NATIVE, RLELossless, *_CODESTREAMS) if get_decoder(syntax).is_available
    )


def decode(dataset: Dataset, largest: int = LARGEST_IMAGE) -> StoredValues:
    """Decode the only frame of an image, its unused bits cleared (PS3.5 8.1.1).

    Returns
    -------
    (rows, columns) for grey pictures, (rows, columns, 3) in RGB for others.

    Raises
    ------
    ImageRejected
        The pixel data is missing, not of one radiograph, outside the limits, or cannot be decoded.
    """
    _check(dataset, largest)
    try:
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        if syntax in _CODESTREAMS:
            _check_frame(dataset)
        if syntax == RLELossless:
            _check_runs(dataset)
        # Codecs give plain numbers; native and RLE cells may hold overlays and junk, which are cleared below.
        cells = syntax in _NATIVE or syntax == RLELossless
        pixels, _ = get_decoder(syntax).as_array(
            dataset,
            index=0,
            decoding_plugin=_plugin(dataset, syntax),
            correct_unused_bits=not cells,  # type: ignore[arg-type] # pydicom 3.0.2 forgot Unpack
        )
        if cells and pixels.ndim == 2:
            pixels = _stored_bits(pixels, int(dataset.BitsStored), int(dataset.HighBit))
        elif syntax in JPEGLSTransferSyntaxes and pixels.dtype.kind == "i":
            # JPEG-LS knows no sign: what is below zero comes out of it as large numbers (PS3.5 8.2.3)
            bits = min(int(dataset.BitsStored), 8 * pixels.dtype.itemsize)
            pixels = _stored_bits(pixels, bits, bits - 1)
    except MemoryError:
        raise  # not the image's fault: worth another try
    except Exception as error:
        # Decoders raise what they please, and every one of them means the same: these pixels cannot be had.
        raise ImageRejected(Reason.UNDECODABLE_PIXELS) from error
    return pixels


def _plugin(dataset: Dataset, syntax: UID) -> str:
    """The decoder to ask: the same one whatever else happens to be installed."""
    if syntax in _NATIVE:
        return ""
    if syntax == RLELossless:
        return "pydicom"
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and dataset.BitsStored <= 8:
        # GDCM 3.2.6 aborts the process on damaged Huffman tables, where Pillow raises; but only GDCM knows 12 bits.
        return "pillow"
    if dataset.SamplesPerPixel != 1 and syntax != JPEGExtended12Bit:
        return "gdcm"
    return lossless_jpeg.LABEL if syntax in (JPEGLossless, JPEGLosslessSV1) else gdcm_pixels.LABEL


def _check(dataset: Dataset, largest: int) -> None:
    """Refuse from the header what must not be decoded."""
    if not any(values(dataset, "PixelData")):
        raise ImageRejected(Reason.NO_PIXELS)
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    if rows is None or columns is None:
        raise ImageRejected(Reason.UNDECODABLE_PIXELS)
    if rows * columns > largest:
        raise ImageRejected(Reason.TOO_LARGE)
    if min(rows, columns) < SMALLEST_SIDE:
        raise ImageRejected(Reason.TOO_SMALL)
    if (whole(dataset, "NumberOfFrames") or 1) > 1:
        raise ImageRejected(Reason.MULTIPLE_FRAMES)
    if text(dataset, "PhotometricInterpretation") == _PALETTE:
        raise ImageRejected(Reason.COLOUR)
    if whole(dataset, "BitsAllocated") not in (8, 16):
        raise ImageRejected(Reason.UNDECODABLE_PIXELS)


def _check_frame(dataset: Dataset) -> None:
    """Raise ValueError where a compressed frame is not the one that the header describes."""
    frame = read_frame(get_frame(dataset.PixelData, 0, number_of_frames=1))
    told = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    if told != (frame.rows, frame.columns, frame.samples) or frame.bits > dataset.BitsAllocated:
        raise ValueError("the compressed frame is not the one that the header describes")


def _check_runs(dataset: Dataset) -> None:
    """Raise ValueError where an RLE frame has more runs than its picture can take: each unpacks to 128 bytes."""
    cells = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * (dataset.BitsAllocated // 8)
    if len(get_frame(dataset.PixelData, 0, number_of_frames=1)) > 2 * cells + _RLE_HEADER:
        raise ValueError("an RLE frame that unpacks to more than its picture")


def _stored_bits(cells: StoredValues, bits_stored: int, high_bit: int) -> StoredValues:
    """The stored value of each pixel cell, sign extended; whatever lies above or below it is cleared."""
    width = 8 * cells.dtype.itemsize
    if not bits_stored - 1 <= high_bit < width:
        raise ValueError("HighBit and BitsStored contradict each other")
    return (cells << (width - 1 - high_bit)) >> (width - bits_stored)
