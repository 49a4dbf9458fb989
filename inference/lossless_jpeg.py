"""JPEG lossless (1.2.840.10008.1.2.4.57 and .70) by dicomsdl, in a quarter of GDCM's time.

It reads a whole DICOM file and trusts that the codestream is what the file's header says, so it gets a file that was
made here, of a codestream that was looked at before. Where bits are damaged it goes on, as GDCM does, and logs a
warning: a frame that it says anything of is left to GDCM, and so is every rare one (lossy after all, cells of another
size than the codestream's), and all of them where dicomsdl is not installed. What it refuses stays refused; it would
often end the process in GDCM.
"""

import struct
from typing import Final

import numpy as np
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from inference import gdcm_pixels
from inference.codestream import Frame, read_frame

DECODER_DEPENDENCIES: Final = dict.fromkeys((JPEGLossless, JPEGLosslessSV1), ("gdcm>=3.2",))
LABEL: Final = "dicomsdl or gdcm"
"""What pydicom calls this plugin."""

_LOSSLESS: Final = 0xC3  # the marker of its frames (ITU-T T.81 table B.1)
_UNDEFINED: Final = 0xFFFFFFFF


def is_available(uid: str) -> bool:
    """Whether this plugin decodes a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def register() -> None:
    """Offer the plugin to pydicom, once in a process."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, "_decode_frame"))


def _decode_frame(src: bytes, runner: DecodeRunner) -> bytes | bytearray:
    """Decode one frame of single samples; pydicom calls it."""
    frame = read_frame(src)
    told = (runner.rows, runner.columns, runner.samples_per_pixel)
    if (frame.rows, frame.columns, frame.samples) != told:
        raise ValueError("the compressed frame is not the one that the header describes")
    pixels = None
    if frame.coding == _LOSSLESS and frame.samples == 1 and runner.bits_allocated == _cell_bits(frame):
        pixels = decode_undamaged(src, frame, runner.transfer_syntax)
    return gdcm_pixels.decode_frame(src, runner) if pixels is None else pixels


def decode_undamaged(src: bytes, frame: Frame, syntax: str) -> bytearray | None:
    """Decode a grey JPEG lossless frame into cells of 8 or 16 bits, little endian.

    Returns
    -------
    The cells; None where dicomsdl is not installed or has a warning to say.

    Raises
    ------
    RuntimeError
        dicomsdl cannot decode it.
    """
    try:
        import dicomsdl  # noqa: PLC0415 - the process that receives has no use for it
    except ImportError:
        return None
    pixels = bytearray(frame.rows * frame.columns * _cell_bits(frame) // 8)
    cells = np.frombuffer(pixels, f"<u{_cell_bits(frame) // 8}").reshape(frame.rows, frame.columns)
    file, said = _file(src, syntax, frame), []
    dicomsdl.set_logger_function(lambda _level, message: said.append(message))
    try:
        dicomsdl.open_memory(file, copy_data=False).copyFrameData(0, cells)
    finally:
        # dicomsdl 0.109.4 lets go of a function of ours after Python has ended, and hangs there
        dicomsdl.set_default_logger_function()
    return None if said else pixels


def _cell_bits(frame: Frame) -> int:
    return 8 if frame.bits <= 8 else 16


def _file(src: bytes, syntax: str, frame: Frame) -> bytes:
    """A DICOM file of nothing but this frame (PS3.10 7.1, PS3.5 A.4)."""
    uid = syntax.encode("ascii")
    uid += b"\0" * (len(uid) % 2)
    # samples, rows, columns, bits allocated and stored, high bit, no sign
    elements = (0x0002, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103)
    bits = _cell_bits(frame)
    shorts = zip(elements, (1, frame.rows, frame.columns, bits, bits, bits - 1, 0), strict=True)
    return b"".join(
        (
            bytes(128) + b"DICM" + struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(uid)) + uid,
            *(struct.pack("<HH2sHH", 0x0028, element, b"US", 2, value) for element, value in shorts),
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED),
            struct.pack("<HHL", 0xFFFE, 0xE000, 0),  # no offsets
            struct.pack("<HHL", 0xFFFE, 0xE000, len(src)) + src,
            struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
        )
    )
