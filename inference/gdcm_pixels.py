"""GDCM's pixels as the bytes that they are, and JPEG Extended with 12 bits.

GDCM 3.2.6 hands pixels to Python as a text. To make that text of ten megabytes, and bytes of it again, costs as much
as to decode JPEG lossless, and pydicom 3.0.2 knows no other way. This is a decoding plugin for pydicom that lets GDCM
write the decoded picture into its own memory and copies it from there: the same decoders and values, in less time.

pydicom refuses to give JPEG Extended with 12 bits (1.2.840.10008.1.2.4.51) to GDCM, which decodes it to the same values
as dcmtk's dcmdjpeg; this plugin asks it anyway. Grey pictures alone: colour goes pydicom's way.
"""

import ctypes
from typing import Final

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
)

DECODER_DEPENDENCIES: Final = dict.fromkeys(
    (
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
    ),
    ("gdcm>=3.2",),
)
LABEL: Final = "gdcm's memory"
"""What pydicom calls this plugin."""


def is_available(uid: str) -> bool:
    """Whether this plugin decodes a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def register() -> None:
    """Offer the plugin to pydicom, once in a process."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, "decode_frame"))


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame of single samples; pydicom calls it.

    Raises
    ------
    ValueError
        GDCM cannot decode it, or it is no grey picture. On damaged Huffman tables GDCM 3.2.6 aborts the process.
    """
    if runner.samples_per_pixel != 1:
        raise ValueError("for grey pictures")
    bits = _precision(runner)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(src)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(runner.photometric_interpretation)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(runner.transfer_syntax))))
    image.SetPixelFormat(
        gdcm.PixelFormat(1, runner.bits_allocated, bits, bits - 1, runner.pixel_representation)
    )
    decoding = gdcm.ImageChangeTransferSyntax()
    decoding.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    decoding.SetInput(image)
    image.thisown = False  # it counts its owners, Python not among them: it goes with `decoding`
    if not decoding.Change():
        raise ValueError("GDCM cannot decode the frame")
    pixels = decoding.GetOutput().GetDataElement().GetByteValue()
    length = runner.rows * runner.columns * (runner.bits_allocated // 8)
    # a VL (its value is told as text alone)
    if pixels is None or int(str(pixels.GetLength())) < length:
        raise ValueError("fewer pixels than the header says")
    return ctypes.string_at(int(pixels.GetVoidPointer()), length)


def _precision(runner: DecodeRunner) -> int:
    """The bits that GDCM is told, and into which cells it is to write them: as pydicom's own plugin for it."""
    bits: int = runner.bits_stored
    if runner.transfer_syntax in JPEGLSTransferSyntaxes:
        if bits in (6, 7):
            raise ValueError("GDCM does not decode JPEG-LS of 6 or 7 bits")
        bits = int(runner.get_option("jls_precision", bits))
    elif runner.transfer_syntax in JPEG2000TransferSyntaxes:
        bits = int(runner.get_option("j2k_precision", bits))
    else:
        return bits
    if not 0 < bits <= 16:
        raise ValueError(f"no radiograph has samples of {bits} bits")
    runner.set_option("bits_allocated", 8 if bits <= 8 else 16)
    return bits
