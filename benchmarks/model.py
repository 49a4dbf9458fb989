"""How fast the shipped model starts and looks at a film, and whether both engines say the same.

    python benchmarks/model.py [FILM.dcm ...] > benchmarks/model.txt

Without films it draws some. Times are medians of 50 looks, in milliseconds.
"""

import datetime
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from inference.card import GRAPH_NAME, SHIPPED, WEIGHTS_NAME, load_card
from inference.classifier import Classifier
from inference.films.data import load_film
from inference.heatmap import attention_from, regions_from
from inference.lungs import LungFinder
from inference.onnx_engine import OnnxEngine
from inference.preprocessing import network_input
from inference.radiograph import Radiograph

_LOOKS: Final = 50
_STARTS: Final = 5
_START: Final = """
from inference.card import SHIPPED
from inference.reader import ChestReader
ChestReader(SHIPPED, 1.0, None)
"""


def median_ms(look: Callable[[], object]) -> float:
    """The median time of a call, after one that warms up."""
    look()
    times = []
    for _ in range(_LOOKS):
        begin = time.perf_counter()
        look()
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


def start_seconds() -> float:
    """The median time that a fresh Python needs until it could look at a film."""
    times = []
    for _ in range(_STARTS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", _START], check=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(films: list[Path]) -> None:
    """Measure, and print."""
    card = load_card(SHIPPED)
    print(
        f"{card.name} {card.version}, {datetime.datetime.now(datetime.UTC).date()}, {os.cpu_count()} CPU cores"
    )
    print(f"start of a fresh process, until it could look: {start_seconds():.2f} s")
    drawn = [chest_phantom(1200, 1000, opacity=index % 2 == 0, seed=str(index)) for index in range(20)]
    radiographs = [load_film(film) for film in films] or [
        Radiograph((pixels / BLACK_TO_WHITE).astype(np.float32)) for pixels in drawn
    ]
    classifier, finder = Classifier(SHIPPED), LungFinder()
    small = Radiograph(network_input(radiographs[0].pixels, card.input_size))

    def whole() -> None:
        found = classifier.classify(small)
        attention = attention_from(found.activation, finder.find(found.picture))
        regions_from(attention, *small.pixels.shape)

    print(
        f"class, lungs and heatmap of a {card.input_size} x {card.input_size} image: {median_ms(whole):.1f} ms"
    )
    rows, columns = radiographs[0].pixels.shape
    prepared = median_ms(lambda: network_input(radiographs[0].pixels, card.input_size))
    print(f"preparing a film of {columns} x {rows} for it: {prepared:.1f} ms")

    from inference.torch_engine import TorchEngine  # noqa: PLC0415 - or the start would be measured with torch in memory

    onnx = OnnxEngine(SHIPPED / GRAPH_NAME, SHIPPED / WEIGHTS_NAME, card.input_size)
    torch = TorchEngine(card.architecture, len(card.labels), SHIPPED / WEIGHTS_NAME)
    pictures = [
        (network_input(film.pixels, card.input_size) - np.float32(card.mean)) / np.float32(card.std)
        for film in radiographs
    ]
    for name, engine in (("ONNX Runtime", onnx), ("torch", torch)):
        print(f"the network alone in {name}: {median_ms(partial(engine.run, pictures[0])):.1f} ms")
    differences = [
        float(np.abs(ours - theirs).max())
        for picture in pictures
        for ours, theirs in zip(onnx.run(picture), torch.run(picture), strict=True)
    ]
    print(
        f"largest difference between the two, in logits, maps and features of {len(pictures)} films:"
        f" {max(differences):.1e}"
    )


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
