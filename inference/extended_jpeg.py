"""JPEG Extended with 12 bits (1.2.840.10008.1.2.4.51), which pydicom 3.0.2 refuses to give to GDCM.

GDCM 3.2.6 decodes it to the same values as dcmtk's dcmdjpeg, so this is a decoding plugin for pydicom that asks GDCM
anyway. 8 bits in the same transfer syntax go pydicom's way.
"""

from typing import Final

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner, JPEGExtended12BitDecoder
from pydicom.uid import JPEGExtended12Bit

DECODER_DEPENDENCIES: Final = {JPEGExtended12Bit: ("gdcm>=3.2",)}
LABEL: Final = "gdcm with 12 bits"
"""What pydicom calls this plugin."""


def is_available(uid: str) -> bool:
    """Whether this plugin decodes a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def register() -> None:
    """Offer the plugin to pydicom, once in a process."""
    if LABEL not in JPEGExtended12BitDecoder.available_plugins:
        JPEGExtended12BitDecoder.add_plugin(LABEL, (__name__, "_decode_frame"))


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame of single samples; pydicom calls it."""
    if runner.samples_per_pixel != 1 or runner.bits_allocated != 16:
        raise ValueError("12-bit JPEG is for grey pictures in 16 bits")
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
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))))
    bits = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, runner.pixel_representation))
    decoded: str = image.GetBuffer()  # GDCM's Python layer gives bytes as text
    return decoded.encode("utf-8", "surrogateescape")
