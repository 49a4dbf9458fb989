"""`dicom-node` in whose process every decoder ends the process, and which says at its end what it has loaded.

python -m tests.faults.undecoding_node run --config FILE --role receive
"""

import os
import sys
from typing import Any

import gdcm
import jpeg_ls
from pydicom.pixels.decoders.base import Decoder, DecodeRunner

from dicom_node.cli import main
from inference import decoding

ENDED = 86
"""The exit status of a process that began to decode."""
LOADED = "loaded for pixels: "


def end(*_arguments: Any, **_named: Any) -> None:
    os._exit(ENDED)


if __name__ == "__main__":
    Decoder.as_array = Decoder.as_buffer = Decoder.iter_array = DecodeRunner.decode = end
    decoding.decode = gdcm.Image.GetBuffer = gdcm.ImageChangeTransferSyntax.Change = end
    jpeg_ls.decode_pixel_data = end
    status = main()
    found = sorted({"dicomsdl", "torch", "onnxruntime", "inference.reader"} & set(sys.modules))
    print(f"{LOADED}{found}", file=sys.stderr)
    raise SystemExit(status)
