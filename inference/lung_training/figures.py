"""Measure the lung finder: `python -m inference.lung_training.figures FILMS BUNDLE` writes the card's figures.

Dice is against outlines drawn by eye on films of patients who taught nothing (`outlines.json` in the shipped bundle, in
hundredths of the film's sides, each film under the end of its public file name). All other held-out films tell how
often both lungs are found in an upright chest, and in the same chest turned or inverted, where none should be.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inference.card import CARD_NAME
from inference.films.data import Film, load_film, read_films
from inference.lungs import CELLS, PICTURE_SIDE, SHIPPED, LungFinder
from inference.preprocessing import network_input

_OUTLINES: Final = SHIPPED / "outlines.json"
_FINENESS: Final = 8  # pixels that an outline is drawn on to a cell of the finder's answer, a side
_DRAWS: Final = 2000
_TIMED: Final = 100

Picture: TypeAlias = NDArray[np.float32]

# What is done to an upright chest, and whether it then is one still.
_CHANGES: Final[dict[str, Callable[[Picture], Picture]]] = {
    "as it is": lambda picture: picture,
    "on its right side": lambda picture: np.rot90(picture, 3),
    "on its left side": lambda picture: np.rot90(picture, 1),
    "upside down": lambda picture: np.rot90(picture, 2),
    "inverted": lambda picture: 1 - picture,
}


def dice(finder: LungFinder, films: Sequence[Film]) -> dict[str, object]:
    """Dice of each outlined film's two lungs together, by source, with a 95 % bootstrap interval over films."""
    outlines = json.loads(_OUTLINES.read_text(encoding="utf-8"))["films"]
    values: dict[str, list[float]] = {}
    for name, outline in outlines.items():
        film = next(film for film in films if film.path.stem.endswith(name))
        lungs = finder.find(_picture(film))
        drawn = [_drawn(outline[side]) for side in ("right", "left")]
        # Each lung counts on its own side: a left lung called right is wrong twice.
        common = sum(
            int((mask & found).sum()) for mask, found in zip(drawn, (lungs.right, lungs.left), strict=True)
        )
        whole = sum(
            int(mask.sum() + found.sum())
            for mask, found in zip(drawn, (lungs.right, lungs.left), strict=True)
        )
        values.setdefault(film.source, []).append(2 * common / whole)
    return {
        source: _mean(figures) | {"lowest": round(min(figures), 3)}
        for source, figures in {"all": list(itertools.chain(*values.values())), **values}.items()
    }


def found(finder: LungFinder, films: Sequence[Film]) -> dict[str, object]:
    """The share of held-out films in which both lungs are found, by source and by what was done to the film."""
    shares: dict[str, dict[str, float]] = {}
    for source in sorted({film.source for film in films}):
        pictures = [_picture(film) for film in films if film.source == source]
        shares[source] = {"films": len(pictures)} | {
            name: round(
                sum(finder.find(np.ascontiguousarray(change(picture))).found for picture in pictures)
                / len(pictures),
                4,
            )
            for name, change in _CHANGES.items()
        }
    return dict(shares)


def milliseconds(finder: LungFinder, film: Film) -> float:
    """The median time of one film, with what prepares and follows the network."""
    picture = _picture(film)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        finder.find(picture)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1000, 1)


def _picture(film: Film) -> Picture:
    return network_input(load_film(film.path).pixels, PICTURE_SIDE)


def _drawn(outline: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    side = CELLS * _FINENESS
    picture = Image.new("L", (side, side))
    ImageDraw.Draw(picture).polygon([(x / 100 * side, y / 100 * side) for x, y in outline], fill=255)
    return np.asarray(picture.resize((CELLS, CELLS), Image.Resampling.BOX)) > 127


def _mean(values: Sequence[float]) -> dict[str, object]:
    draws = np.random.default_rng(0).choice(np.array(values), (_DRAWS, len(values))).mean(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "films": len(values),
        "value": round(float(np.mean(values)), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
    }


def main() -> None:
    """Write the figures into the bundle's card, and print them."""
    parser = argparse.ArgumentParser(description="Measure the lung finder.")
    parser.add_argument(
        "films", type=Path, help="a folder with manifest.csv, or as the public sets are downloaded"
    )
    parser.add_argument("bundle", type=Path, help="the folder that holds weights and card")
    arguments = parser.parse_args()
    finder = LungFinder(arguments.bundle)
    films = [film for film in read_films(arguments.films) if film.validation and not film.duplicate]
    path = arguments.bundle / CARD_NAME
    card = json.loads(path.read_text(encoding="utf-8"))
    card["figures"] |= {
        "dice": dice(finder, films),
        "both_lungs_found": found(finder, films),
        "milliseconds_on_one_core": milliseconds(finder, films[0]),
    }
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card["figures"], indent=2))


if __name__ == "__main__":
    main()
