"""The lung finder can be made again: a shape from drawn masks, laid over films, teaches the network."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from inference.card import CARD_NAME
from inference.errors import DataUnusable
from inference.films.data import read_films
from inference.lung_training import figures
from inference.lung_training import train as lungs
from inference.lung_training.augmentation import LungAugmentation
from inference.lung_training.network import LungNetwork, seen
from inference.lung_training.shapes import LungShapes, draw, lay_over, learn_shapes
from inference.lungs import CELLS, INPUT_SIDE, LungFinder, Lungs
from inference.preprocessing import network_input


def mask(random: np.random.Generator) -> Image.Image:
    """A pair of lungs as somebody would draw them, a little different each time."""
    picture = Image.new("L", (200, 200))
    pen = ImageDraw.Draw(picture)
    for middle, wall in ((0.43, 0.14), (0.57, 0.86)):
        top, base, wall_here, middle_here = np.array([0.12, 0.78, wall, middle]) + random.normal(0, 0.02, 4)
        turn = np.linspace(0, np.pi / 2, 9)
        outline = [(middle_here, base - 0.02), (middle_here, top + 0.03)]
        outline += [
            (
                middle_here + (wall_here - middle_here) * np.sin(angle),
                base - (base - top) * np.cos(angle) ** 0.7,
            )
            for angle in turn
        ]
        outline += [((wall_here + middle_here) / 2, base - 0.06)]
        pen.polygon([(200 * float(x), 200 * float(y)) for x, y in outline], fill=255)
    return picture


def write_masks(path: Path, count: int) -> Path:
    random = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w") as pictures:
        for number in range(count):
            encoded = io.BytesIO()
            mask(random).save(encoded, "PNG")
            pictures.writestr(f"masks/{number}.png", encoded.getvalue())
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> LungShapes:
    return learn_shapes(write_masks(tmp_path_factory.mktemp("masks") / "masks.zip", 140))


def phantom(seed: str = "1") -> NDArray[np.float32]:
    return (chest_phantom(320, 280, seed=seed) / np.float32(BLACK_TO_WHITE)).astype(np.float32)


def lungs_of_phantom() -> NDArray[np.bool_]:
    """Where the phantom's own drawing has its lungs, (2, side, side)."""
    down, across = (np.mgrid[:INPUT_SIDE, :INPUT_SIDE] + 0.5) / INPUT_SIDE
    depth = [np.exp(-(((across - x) / 0.165) ** 4) - ((down - 0.46) / 0.34) ** 4) for x in (0.30, 0.70)]
    return (np.stack(depth) > 0.5) & (down < 0.8)


def as_seen(pixels: NDArray[np.float32]) -> torch.Tensor:
    return seen(torch.from_numpy(network_input(pixels, 224))[None, None])


def test_the_shape_finds_the_lungs_of_a_clear_film(shapes: LungShapes) -> None:
    outlines, fitness = lay_over(shapes, as_seen(phantom()))
    drawn, wanted = draw(outlines, INPUT_SIDE)[0] > 0, lungs_of_phantom()
    for lung in (0, 1):
        dice = 2 * (drawn[lung] & wanted[lung]).sum() / (drawn[lung].sum() + wanted[lung].sum())
        assert dice > 0.8
    assert float(fitness[0]) > float(lay_over(shapes, torch.rand(1, 1, INPUT_SIDE, INPUT_SIDE))[1][0])


def test_an_answer_is_followed_where_the_film_shows_nothing(shapes: LungShapes) -> None:
    answer = torch.from_numpy(lungs_of_phantom().any(0).astype(np.float32))[None, None]
    outlines, _ = lay_over(shapes, torch.full_like(answer, 0.5), answer)
    drawn = (draw(outlines, INPUT_SIDE)[0] > 0).any(0)
    wanted = lungs_of_phantom().any(0)
    assert 2 * (drawn & wanted).sum() / (drawn.sum() + wanted.sum()) > 0.85


@pytest.mark.parametrize("content", ["nothing", "text", "few masks"])
def test_masks_that_teach_no_shape_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "masks.zip"
    if content == "text":
        path.write_text("no zip")
    elif content == "few masks":
        write_masks(path, 5)
    with pytest.raises(DataUnusable, match=r"masks\.zip"):
        learn_shapes(path)


def augmented(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Films that are dark where their masks are, changed."""
    masks = torch.from_numpy(lungs_of_phantom().astype(np.float32))[None].repeat(count, 1, 1, 1)
    pictures = 0.8 - 0.6 * masks.amax(1, keepdim=True)
    return LungAugmentation(torch.Generator().manual_seed(3))(pictures, masks)


def test_a_mask_goes_where_its_lung_goes() -> None:
    pictures, masks = augmented(200)
    both = masks.amax(1) > 0.5
    with_lungs = both.any(dim=2).any(dim=1)
    darker = [
        float(picture[~lung].mean() - picture[lung].mean())
        for picture, lung in zip(pictures[with_lungs, 0], both[with_lungs], strict=True)
    ]
    # Opacities, frames and black surroundings hide it on some; a mask that stayed behind would on most.
    assert np.mean(np.array(darker) > 0) > 0.6


def test_each_lung_stays_on_its_side_of_the_picture() -> None:
    """Mirrored films too: the one on the left of the picture is the one that is called right."""
    _, masks = augmented(200)
    columns = torch.arange(INPUT_SIDE, dtype=torch.float32)
    for right, left in masks:
        if right.sum() > 50 and left.sum() > 50:
            assert (right.sum(0) * columns).sum() / right.sum() < (left.sum(0) * columns).sum() / left.sum()


def test_some_films_are_made_into_what_has_no_lungs() -> None:
    pictures, masks = augmented(200)
    empty = int((masks.flatten(1).sum(1) == 0).sum())
    assert 15 <= empty <= 60
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def folder_of_films(folder: Path) -> Path:
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["file", "label", "patient", "source", "split"])
        for number in range(12):
            pixels = np.round(phantom(str(number)) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            split = "test" if number == 0 else "train"
            table.writerow(
                [f"{number}.png", "pneumonia" if number % 3 == 0 else "normal", number, "here", split]
            )
    return folder


def test_films_that_measure_do_not_teach(tmp_path: Path) -> None:
    folder = folder_of_films(tmp_path / "films")
    teaching = {film.path for film in lungs.films_to_learn(folder)}
    measuring = {film.path for film in read_films(folder) if film.test or film.validation}
    assert teaching
    assert len(measuring) > 1
    assert not teaching & measuring


def test_a_bundle_is_made_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films, masks = folder_of_films(tmp_path / "films"), write_masks(tmp_path / "masks.zip", 120)
    monkeypatch.setattr(lungs, "_STEPS", (30, 2))
    monkeypatch.setattr(
        lungs, "_CLEAR", -1.0
    )  # what is tested is the way, not how well the network learns on it
    monkeypatch.setattr(lungs, "_AGREED", 0.0)
    monkeypatch.setattr("sys.argv", ["lungs", str(films), str(masks), str(tmp_path / "bundle")])
    lungs.main()
    LungFinder(tmp_path / "bundle").find(network_input(phantom(), 224))
    card = json.loads((tmp_path / "bundle" / CARD_NAME).read_text(encoding="utf-8"))
    first, second = card["training"]["films_of_each_round"]
    learnt = lungs.films_to_learn(films)
    assert first == {"here": sum(film.positive is False for film in learnt)}
    assert second == {"here": len(learnt)}


def test_the_network_learns_where_lungs_are() -> None:
    """A few steps on one drawing are enough to tell its lungs from the rest."""
    torch.manual_seed(1)
    picture, masks = as_seen(phantom()), torch.from_numpy(lungs_of_phantom()[None] * np.uint8(255))
    lesson = lungs.Lesson(picture, masks, ("here",))
    network = LungNetwork()
    lungs.learn(network, lesson, 40, torch.Generator().manual_seed(1))
    with torch.inference_mode():
        answer = torch.sigmoid(network(picture))[0].amax(0)
    wanted = torch.nn.functional.max_pool2d(masks.float() / 255, 2)[0].amax(0) > 0
    assert answer[wanted].mean() > answer[~wanted].mean() + 0.3


# --- what it is measured by ------------------------------------------------------------------------------------------


class Answering:
    """Stands in for the finder: the same lungs for every film."""

    def __init__(self, right: NDArray[np.bool_], left: NDArray[np.bool_]) -> None:
        self.lungs = Lungs(right, left)

    def find(self, _picture: NDArray[np.float32]) -> Lungs:
        return self.lungs


@pytest.mark.parametrize(("swapped", "value"), [(False, 1.0), (True, 0.0)], ids=["as drawn", "sides swapped"])
def test_dice_is_of_each_lung_on_its_own_side(
    swapped: bool, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def square(left: int, right: int) -> list[list[int]]:
        return [[left, 25], [right, 25], [right, 75], [left, 75]]

    outlines = {"films": {"film": {"right": square(0, 50), "left": square(50, 100)}}}
    (tmp_path / "outlines.json").write_text(json.dumps(outlines))
    monkeypatch.setattr(figures, "_OUTLINES", tmp_path / "outlines.json")
    Image.new("L", (64, 64)).save(tmp_path / "the film.png")
    with (tmp_path / "manifest.csv").open("w") as file:
        file.write("file,label,patient\nthe film.png,normal,p\n")
    right, left = np.zeros((2, CELLS, CELLS), bool)
    right[CELLS // 4 : CELLS * 3 // 4, : CELLS // 2] = left[CELLS // 4 : CELLS * 3 // 4, CELLS // 2 :] = True
    finder: Any = Answering(left, right) if swapped else Answering(right, left)
    told: Any = figures.dice(finder, read_films(tmp_path))
    assert told["site"]["films"] == 1
    assert told["site"]["value"] == pytest.approx(value, abs=0.03)
