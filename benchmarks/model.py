"""How fast each engine starts and looks at a film, alone and beside busy neighbours, and whether all say the same.

    python -m benchmarks.model                 on drawn films, into benchmarks/model.{json,txt,svg}
    python -m benchmarks.model FILM.dcm ...    whether all say the same, on these

The engines are those that are installed, each on one core; the ratios are to the one that a card's figures are measured
with. A round's number is the median of its looks; the engines take turns.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.neighbours import busy_neighbours
from config.values import EngineName
from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from inference.card import SHIPPED, load_card
from inference.classifier import Classifier
from inference.engine import Engine, load_engine
from inference.films.data import load_film
from inference.heatmap import attention_from, regions_from
from inference.installed import installed_engines
from inference.lungs import LungFinder
from inference.preprocessing import network_input
from inference.radiograph import Radiograph

ROUNDS: Final = 5
LOOKS: Final = 20
NEIGHBOURS: Final = 2
REFERENCE: Final = "onnxruntime"
_START: Final = """
import sys
from inference.card import SHIPPED
from inference.reader import ChestReader
ChestReader(SHIPPED, 1.0, None, engine=sys.argv[1])
"""


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=Path, nargs="*", metavar="FILM", help="DICOM files (default: drawn)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    card = load_card(SHIPPED)
    figures = Figures(
        f"Engines: {card.name} {card.version}, {card.input_size} x {card.input_size}", REFERENCE
    )
    drawn = [chest_phantom(1200, 1000, opacity=index % 2 == 0, seed=str(index)) for index in range(20)]
    films = [load_film(film) for film in arguments.films] or [
        Radiograph((pixels / BLACK_TO_WHITE).astype(np.float32)) for pixels in drawn
    ]
    with Progress() as progress:
        task = progress.add_task("engines", total=2 * arguments.rounds)
        for _ in range(arguments.rounds):
            for name in ("auto", *installed_engines()):
                figures.note("start of a process until it could look", "s", name, _start_seconds(name))
            progress.advance(task)
        engines = {name: load_engine(SHIPPED, card, name).engine for name in installed_engines()}
        pictures = [
            (network_input(film.pixels, card.input_size) - np.float32(card.mean)) / np.float32(card.std)
            for film in films
        ]
        for _ in range(arguments.rounds):
            _measure_looks(figures, engines, pictures[0])
            _measure_film(figures, films[0])
            progress.advance(task)
    for name, engine in engines.items():
        for picture in pictures:
            difference = _difference(engine, engines[REFERENCE], picture)
            figures.note(f"largest difference, {len(pictures)} films", "millionths", name, 1e6 * difference)
    figures.write(arguments.output)
    Console().print(figures.table())


def _start_seconds(name: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", _START, name], check=True)
    return time.perf_counter() - begin


def _measure_looks(figures: Figures, engines: Mapping[EngineName, Engine], picture: np.ndarray) -> None:
    """The network alone, then with as many busy neighbours as this machine has cores or more."""
    alone = {name: _median_ms(partial(engine.run, picture)) for name, engine in engines.items()}
    with busy_neighbours(NEIGHBOURS):
        beside = {name: _median_ms(partial(engine.run, picture)) for name, engine in engines.items()}
    for name in engines:
        figures.note("the network", "ms", name, alone[name])
        figures.note(f"the network, {NEIGHBOURS} busy neighbours", "ms", name, beside[name])
        figures.note(f"with {NEIGHBOURS} busy neighbours", "times as long", name, beside[name] / alone[name])


def _measure_film(figures: Figures, film: Radiograph) -> None:
    """What a film costs beside its network, which no engine changes."""
    classifier, finder = Classifier(SHIPPED), LungFinder()
    side = classifier.card.input_size
    small = Radiograph(network_input(film.pixels, side))

    def whole() -> None:
        found = classifier.classify(small)
        attention = attention_from(found.activation, finder.find(found.picture))
        regions_from(attention, *small.pixels.shape)

    rows, columns = film.pixels.shape
    figures.note("network, lungs and heatmap", "ms", REFERENCE, _median_ms(whole))
    prepared = _median_ms(partial(network_input, film.pixels, side))
    figures.note(f"preparing a film of {columns} x {rows}", "ms", REFERENCE, prepared)


def _median_ms(look: Callable[[], object]) -> float:
    """The median time of a call, after one that warms up."""
    look()
    times = []
    for _ in range(LOOKS):
        begin = time.perf_counter()
        look()
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


def _difference(engine: Engine, reference: Engine, picture: np.ndarray) -> float:
    """The largest between any two numbers: of logits, maps and features."""
    pairs = zip(engine.run(picture), reference.run(picture), strict=True)
    return max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


if __name__ == "__main__":
    main()
