"""Make the lung finder: `python -m inference.lung_training.train FILMS MASKS BUNDLE`.

No lung of these films was drawn by anyone. A shape learnt from masks of other films (a zip of pictures) is laid over
the clear films of FILMS (a folder as `inference.films.data` reads it), and the network learns from where it lies
well. Then the network answers for films of every kind; where the shape fits its answer, that is learnt next. Films of
patients who serve for validation or test are not learnt from.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import torch
from rich.progress import track
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from inference.card import CARD_NAME, GRAPH_NAME, WEIGHTS_NAME
from inference.films.data import Film, load_film, read_films
from inference.lung_training.augmentation import LungAugmentation
from inference.lung_training.network import LungNetwork, seen
from inference.lung_training.shapes import LungShapes, draw, lay_over, learn_shapes
from inference.lungs import CELLS, INPUT_SIDE, PICTURE_SIDE
from inference.preprocessing import network_input
from inference.training.export import write_graph

_CLEAR: Final = 0.5  # how well the shape lies on a clear film that may teach
_AGREED: Final = 0.85  # of the network's answer and the shape laid over it, intersection over union
_SEED: Final = 7
_BATCH: Final = 32
_RATE: Final = 3e-3
_STEPS: Final = (450, 700)  # of the first round, and of the next one
_MOST: Final = 600  # films of a source that the next one asks for: more of them teach nothing new
_AT_ONCE: Final = 64

_DATA: Final = [
    {
        "name": "Kermany et al. 2018, chest radiographs of children (Guangzhou)",
        "licence": "CC BY 4.0",
        "use": "pictures; their lungs were drawn by nobody",
    },
    {
        "name": "NIH ChestX-ray14 (Wang et al. 2017), a part",
        "licence": "open, attribution to the NIH Clinical Center",
        "use": "pictures; their lungs were drawn by nobody",
    },
    {
        "name": "517 lung masks of other films (V7 Labs), from torchxrayvision",
        "licence": "Apache-2.0",
        "use": "the shape of lungs; the films that they were drawn on were not used",
    },
]
_LIMITS: Final = (
    "Learnt from where a shape model lies well, not from masks of these films. Lungs count as a whole, with what lies "
    "behind the heart and in opacities; what lies behind the diaphragm does not. A lung that is white throughout is "
    "guessed from the other one. Films of one children's hospital and one for adults; not measured elsewhere."
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Films with their lungs: pictures (N, 1, side, side), 0..1, masks (N, 2, side, side), 0 or 255, and sources."""

    pictures: Tensor
    masks: Tensor
    sources: tuple[str, ...]


def films_to_learn(folder: Path) -> list[Film]:
    """The films that may teach; of equal ones the first."""
    return [film for film in read_films(folder) if not (film.test or film.validation or film.duplicate)]


def pictures_of(films: Sequence[Film]) -> Tensor:
    """Films as the network sees them, (N, 1, INPUT_SIDE, INPUT_SIDE)."""
    pictures = torch.empty(len(films), 1, INPUT_SIDE, INPUT_SIDE)
    for index, film in enumerate(track(films, "Reading films")):
        picture = network_input(load_film(film.path).pixels, PICTURE_SIDE)
        pictures[index] = seen(torch.from_numpy(picture)[None, None])[0]
    return pictures


def first_lesson(films: Sequence[Film], pictures: Tensor, shapes: LungShapes) -> Lesson:
    """Clear films, and the shape where it lies well on them."""
    clear = [index for index, film in enumerate(films) if film.positive is False]
    masks, kept = [], []
    for some in track(torch.split(torch.tensor(clear), _AT_ONCE), "Laying the shape over clear films"):
        outlines, fitness = lay_over(shapes, pictures[some])
        well = fitness >= _CLEAR
        masks.append(torch.from_numpy(draw(outlines[well], INPUT_SIDE)))
        kept.append(some[well])
    chosen = torch.cat(kept)
    return Lesson(pictures[chosen], torch.cat(masks), tuple(films[index].source for index in chosen.tolist()))


def next_lesson(
    films: Sequence[Film], pictures: Tensor, shapes: LungShapes, network: LungNetwork, random: torch.Generator
) -> Lesson:
    """Some films of every source, ill ones too, and the shape where it agrees with what the network answers."""
    shuffled = torch.randperm(len(films), generator=random).tolist()
    sources = sorted({film.source for film in films})
    asked = [[index for index in shuffled if films[index].source == source][:_MOST] for source in sources]
    masks, kept = [], []
    for some in track(
        torch.split(torch.tensor(list(chain(*asked))), _AT_ONCE), "Laying the shape over answers"
    ):
        with torch.inference_mode():
            answer = torch.sigmoid(network(pictures[some]))
            answer = functional.interpolate(answer, size=INPUT_SIDE, mode="bilinear", align_corners=False)
        # Out of inference mode, so that the shape's pose can be improved along its gradient.
        outlines, _ = lay_over(shapes, pictures[some], answer.amax(1, keepdim=True).clone())
        drawn = torch.from_numpy(draw(outlines, INPUT_SIDE))
        well = overlap(drawn > 0, answer > 0.5).amin(1) >= _AGREED
        masks.append(drawn[well])
        kept.append(some[well])
    chosen = torch.cat(kept)
    return Lesson(pictures[chosen], torch.cat(masks), tuple(films[index].source for index in chosen.tolist()))


def overlap(some: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of masks (N, 2, side, side), for each lung: (N, 2)."""
    both, either = (some & others).sum((2, 3)), (some | others).sum((2, 3))
    return both / either.clamp(min=1)


def learn(network: LungNetwork, lesson: Lesson, steps: int, random: torch.Generator) -> None:
    """Train in place; every source is seen as often as any other."""
    counts = {source: lesson.sources.count(source) for source in lesson.sources}
    weights = torch.tensor([1 / counts[source] for source in lesson.sources])
    change = LungAugmentation(random)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    network.train()
    for _ in track(range(steps), f"Learning from {len(weights)} films"):
        chosen = torch.multinomial(weights, _BATCH, replacement=True, generator=random)
        pictures, masks = change(lesson.pictures[chosen], lesson.masks[chosen].float() / 255)
        optimizer.zero_grad()
        loss = _loss(network(pictures), functional.interpolate(masks, size=(CELLS, CELLS), mode="area"))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    network.eval()


def _loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy a cell, for clear borders, and Dice a batch, because lungs are the smaller part."""
    answer = torch.sigmoid(logits)
    dice = 1 - 2 * (answer * masks).sum((0, 2, 3)) / (answer + masks).sum((0, 2, 3)).clamp(min=1)
    return functional.binary_cross_entropy_with_logits(logits, masks) + 0.5 * dice.mean()


def write_bundle(bundle: Path, network: LungNetwork, lessons: Sequence[Lesson]) -> None:
    """Write weights and card, without figures: those are measured afterwards."""
    bundle.mkdir(parents=True, exist_ok=True)
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    (bundle / WEIGHTS_NAME).write_bytes(weights)
    write_graph(network, bundle / GRAPH_NAME, INPUT_SIDE)
    taught = [
        {source: lesson.sources.count(source) for source in sorted(set(lesson.sources))} for lesson in lessons
    ]
    card = {
        "name": "lung-finder",
        "version": "1",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "graph_sha256": hashlib.sha256((bundle / GRAPH_NAME).read_bytes()).hexdigest(),
        "training": {"data": _DATA, "films_of_each_round": taught, "limits": _LIMITS},
        "figures": {},
    }
    (bundle / CARD_NAME).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Make a bundle from films and masks."""
    parser = argparse.ArgumentParser(description="Make the lung finder.")
    parser.add_argument("films", type=Path, help="a folder with manifest.csv")
    parser.add_argument("masks", type=Path, help="a zip of lung masks of other films, white on black")
    parser.add_argument("bundle", type=Path, help="the folder to write weights and card to")
    arguments = parser.parse_args()
    random = torch.Generator().manual_seed(_SEED)
    torch.manual_seed(_SEED)
    films = films_to_learn(arguments.films)
    pictures = pictures_of(films)
    shapes = learn_shapes(arguments.masks)
    network = LungNetwork()
    lessons = [first_lesson(films, pictures, shapes)]
    learn(network, lessons[0], _STEPS[0], random)
    for steps in _STEPS[1:]:
        lessons.append(next_lesson(films, pictures, shapes, network, random))
        learn(network, lessons[-1], steps, random)
    write_bundle(arguments.bundle, network, lessons)


if __name__ == "__main__":
    main()
