"""How fast compressed films are decoded, beside GDCM as pydicom asks it.

    python -m benchmarks.decoding              everything, into benchmarks/decoding.{json,txt,svg}
    python -m benchmarks.decoding --rounds 1   a first look

A film of 2500 x 2048 pixels in 16 bits, smooth but for the noise of a detector, as GDCM encodes it. In each round each
decoder decodes it once, in an order that turns from round to round, from the data set in memory to an array that is
compared with what was encoded. It runs in one process; the node does this in the one that analyses, never where films
are received.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.servers import NODE
from inference.decoding import decode
from tests.builders import chest_film, write

ROUNDS = 11
ROWS, COLUMNS = 2500, 2048
NOISE = 40.0
"""Standard deviation, of 65,536 values: what keeps real films from being squeezed to less than half."""
GDCM = "pydicom with GDCM"
CODINGS = {
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000 lossless": gdcm.TransferSyntax.JPEG2000Lossless,
}


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    decoders: dict[str, Callable[[Dataset], NDArray[Any]]] = {NODE: decode, GDCM: _by_gdcm}
    figures = Figures("Decoding a film of 2500 x 2048 pixels, 16 bit", GDCM)
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch, Progress() as progress:
        task = progress.add_task("decoding", total=len(CODINGS) * (arguments.rounds + 1))
        plain, pixels = _film(Path(scratch))
        for coding, syntax in CODINGS.items():
            film = _encoded(plain, syntax, Path(scratch) / "coded.dcm")
            for number in range(-1, arguments.rounds):  # the first one loads libraries, and is not counted
                names = list(decoders) if number % 2 else list(decoders)[::-1]
                for name in names:
                    started = time.perf_counter()
                    decoded = decoders[name](film)
                    taken = 1000 * (time.perf_counter() - started)
                    if not np.array_equal(decoded, pixels):
                        raise RuntimeError(f"{name} changed the pixels of {coding}")
                    if number >= 0:
                        figures.note(coding, "ms", name, taken)
                progress.advance(task)
    figures.write(arguments.output)
    Console().print(figures.table())


def _film(folder: Path) -> tuple[Path, NDArray[np.uint16]]:
    """Write the film; return its path and its pixels."""
    film = chest_film(rows=ROWS, columns=COLUMNS, BitsStored=16, HighBit=15)
    twelve = np.frombuffer(film.PixelData, "<u2").reshape(ROWS, COLUMNS)
    noise = np.random.default_rng(0).normal(0, NOISE, twelve.shape)
    pixels = np.clip(twelve * 16.0 + noise, 0, 65535).astype("<u2")
    film.PixelData = pixels.tobytes()
    return write(film, folder / "plain.dcm"), pixels


def _encoded(plain: Path, syntax: int, target: Path) -> Dataset:
    """Return the film as GDCM encodes it."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    encoding = gdcm.ImageChangeTransferSyntax()
    encoding.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    if reader.Read():
        encoding.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    if not encoding.Change():
        raise RuntimeError("GDCM cannot encode the film")
    writer.SetImage(encoding.GetOutput())
    if not writer.Write():
        raise RuntimeError("GDCM cannot write the film")
    return dcmread(target)


def _by_gdcm(film: Dataset) -> NDArray[Any]:
    pixels, _ = get_decoder(film.file_meta.TransferSyntaxUID).as_array(film, decoding_plugin="gdcm")
    return pixels


if __name__ == "__main__":
    main()
