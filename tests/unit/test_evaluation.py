"""Films are changed as said and the classifier asked again; the command tells, draws and prints what was found."""

import argparse
import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from inference.card import SHIPPED
from inference.errors import DataUnusable
from inference.evaluation import evaluate as evaluate_command
from inference.evaluation import robustness, shortcuts
from inference.evaluation.attention import attention, peak_of
from inference.evaluation.changes import MOST_FILMS, effects, mirrored, sample, score_changed, with_mirrored
from inference.evaluation.scoring import Scored, score_films
from inference.evaluation.subtypes import subtypes
from inference.films.data import Film, read_films
from inference.lungs import CELLS, Lungs
from inference.radiograph import Radiograph

CARD: Any = SimpleNamespace(threshold=0.5, uncertain=(0.35, 0.65))
OCCLUSIONS = {"all but the lungs greyed", "lungs greyed"}


class Brightness:
    """Stands in for a classifier: its score is the mean of the picture, and its activation always the same."""

    def __init__(self, card: Any = CARD, activation: np.ndarray | None = None) -> None:
        self.card = card
        self.activation = np.eye(4, dtype=np.float32) if activation is None else activation

    def classify(self, radiograph: Radiograph) -> SimpleNamespace:
        return SimpleNamespace(score=float(radiograph.pixels.mean()), activation=self.activation)


class Finder:
    """Stands in for the lung finder: the lungs are the middle of the picture, or nowhere."""

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def find(self, _picture: np.ndarray) -> Lungs:
        right, left = np.zeros((2, CELLS, CELLS), bool)
        if not self.blind:
            right[14:42, 14:28] = left[14:42, 28:42] = True
        return Lungs(right, left)


def quiet() -> Progress:
    return Progress(console=Console(quiet=True))


def make_films(folder: Path, patients: int = 10) -> Path:
    """Small films, one a patient: every other is ill, with a bright and known patch at the lower right."""
    folder.mkdir()
    rows = []
    random = np.random.default_rng(2)
    for patient in range(patients):
        ill = patient % 2 == 0
        picture = random.normal(90, 30, (160, 200))
        picture[80:, 100:] += 120 * ill
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{patient}.png")
        rows.append(
            {
                "file": f"{patient}.png",
                "label": "pneumonia" if ill else "normal",
                "patient": f"p{patient}",
                "boxes": "100 80 100 80" if ill else "",
            }
        )
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_films(tmp_path_factory.mktemp("evaluation") / "films", 60)


@pytest.fixture(scope="module")
def films(folder: Path) -> tuple[Film, ...]:
    return read_films(folder)


@pytest.fixture(scope="module")
def scored(films: tuple[Film, ...]) -> Scored:
    with quiet() as bar:
        return score_films(Brightness(), films, bar)  # type: ignore[arg-type]


def a_film() -> np.ndarray:
    """160 rows by 200 columns of 8-bit grey values, brighter at the right, none of them at the ends of the scale."""
    across = np.linspace(40, 200, 200)[None].repeat(160, 0)
    noise = np.random.default_rng(1).integers(0, 20, across.shape)
    return ((across.astype(np.uint8) + noise) / 255).astype(np.float32)


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*robustness.CHANGES, *shortcuts.CHANGES, *sorted(OCCLUSIONS), "mirrored"])
def test_a_change_makes_another_film_and_leaves_the_first_as_it_was(name: str) -> None:
    every = robustness.CHANGES | shortcuts.CHANGES | shortcuts.lung_changes(Finder())  # type: ignore[arg-type]
    pixels = a_film()
    changed = (every | {"mirrored": mirrored})[name](pixels)
    np.testing.assert_array_equal(pixels, a_film())
    assert changed.dtype == np.float32
    assert 0 <= changed.min() < changed.max() <= 1
    assert (changed.shape == pixels.shape and np.array_equal(changed, pixels)) == (name == "MONOCHROME1")


def test_monochrome1_is_read_as_the_same_film() -> None:
    np.testing.assert_array_equal(robustness.as_monochrome1(a_film()), a_film())


def test_windows_are_wider_narrower_and_shifted_around_the_middle() -> None:
    grey = np.array([[0.0, 0.3, 0.5, 0.7, 1.0]], np.float32)
    for name, expected in {
        "window a quarter narrower": [0, 0.2333, 0.5, 0.7667, 1],
        "window a quarter wider": [0.1, 0.34, 0.5, 0.66, 0.9],
        "a tenth brighter": [0.1, 0.4, 0.6, 0.8, 1],
        "a tenth darker": [0, 0.2, 0.4, 0.6, 0.9],
    }.items():
        np.testing.assert_allclose(robustness.CHANGES[name](grey)[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("black border of 5 %", (176, 220)),
        ("white border of 10 %", (192, 240)),
        ("a tenth wider", (160, 220)),
        ("a tenth narrower", (160, 180)),
        ("half the size", (80, 100)),
        ("double the size", (320, 400)),
    ],
)
def test_sizes_are_as_said(name: str, shape: tuple[int, int]) -> None:
    assert robustness.CHANGES[name](a_film()).shape == shape


def test_a_film_turned_left_sinks_on_the_left() -> None:
    bar = np.zeros((101, 101), np.float32)
    bar[50] = 1
    left, right = (robustness.CHANGES[f"turned {way} by 5 degrees"](bar) for way in ("left", "right"))
    assert left[:, 5].argmax() > 50 > left[:, 95].argmax()
    assert right[:, 5].argmax() < 50 < right[:, 95].argmax()


def test_the_ring_and_the_corners_are_covered_and_nothing_else() -> None:
    pixels = a_film()
    ring = shortcuts.CHANGES["outer 8 % blanked"](pixels)
    assert len({*ring[:13].ravel(), *ring[:, :16].ravel(), *ring[-13:].ravel(), *ring[:, -16:].ravel()}) == 1
    np.testing.assert_array_equal(ring[13:-13, 16:-16], pixels[13:-13, 16:-16])
    corners = shortcuts.CHANGES["upper corners covered"](pixels)
    assert len(np.unique(corners[:32, :40])) == len(np.unique(corners[:32, -40:])) == 1
    assert corners[0, 0] < corners[0, -1]  # each with its own grey
    np.testing.assert_array_equal(corners[32:], pixels[32:])
    np.testing.assert_array_equal(corners[:, 40:-40], pixels[:, 40:-40])


@pytest.mark.parametrize(("letter", "columns"), [("R", slice(0, 40)), ("L", slice(160, 200))])
def test_a_white_letter_stands_in_an_upper_corner(letter: str, columns: slice) -> None:
    drawn = shortcuts.CHANGES[f"letter {letter} drawn in"](a_film()) == 1
    assert 20 < drawn.sum() < 200
    assert drawn[:32, columns].sum() == drawn.sum()
    assert 8 <= np.ptp(np.flatnonzero(drawn.any(axis=1))) <= 14  # 7 % of 160 rows


def test_lungs_or_all_but_the_lungs_are_greyed() -> None:
    pixels = a_film()
    changes = shortcuts.lung_changes(Finder())  # type: ignore[arg-type]
    without, alone = changes["lungs greyed"](pixels), changes["all but the lungs greyed"](pixels)
    inside = np.zeros(pixels.shape, bool)
    inside[40:120, 50:150] = True
    assert len(np.unique(without[inside])) == len(np.unique(alone[~inside])) == 1
    np.testing.assert_array_equal(without[~inside], pixels[~inside])
    np.testing.assert_array_equal(alone[inside], pixels[inside])


def test_a_film_without_lungs_stays_as_it_is() -> None:
    for change in shortcuts.lung_changes(Finder(blind=True)).values():  # type: ignore[arg-type]
        np.testing.assert_array_equal(change(a_film()), a_film())


# --- what they do to the score ---------------------------------------------------------------------------------------


def test_films_are_asked_about_under_each_change(scored: Scored) -> None:
    with quiet() as bar:
        changed = score_changed(Brightness(), scored, {"dark": lambda pixels: pixels / 2}, bar)  # type: ignore[arg-type]
    np.testing.assert_allclose(changed["dark"], scored.scores / 2, atol=1e-6)


def test_a_film_that_the_node_refuses_is_named(tmp_path: Path) -> None:
    make_films(tmp_path / "films", 1)
    Image.new("L", (60, 60)).save(tmp_path / "films" / "0.png")
    films = read_films(tmp_path / "films")
    small = Scored(films, np.zeros(1), np.zeros((1, 4, 4), np.float32))
    with pytest.raises(DataUnusable, match=r"0\.png.*too small"), quiet() as bar:
        score_changed(Brightness(), small, robustness.CHANGES, bar)  # type: ignore[arg-type]


def test_effects_are_counted_by_hand(scored: Scored) -> None:
    before = np.where(scored.truth, 0.9, 0.1)
    as_is = Scored(scored.films, before, scored.activations)
    told = effects(as_is, {"nothing": before, "turned round": 1 - before, "less": before * 0.6}, CARD)["site"]
    assert told["films"] == 60
    assert told["auc"]["value"] == 1.0
    nothing, turned, less = (told["changes"][name] for name in ("nothing", "turned round", "less"))
    assert (nothing["median"], nothing["p95"], nothing["other_answer"]) == (0, 0, 0)
    assert (turned["other_answer"], turned["opposite_answer"], turned["auc"]["value"]) == (1, 1, 0)
    # 0.9 to 0.54 is uncertain, 0.1 to 0.06 still unlikely
    assert (less["other_answer"], less["opposite_answer"], less["p95"]) == (0.5, 0, 0.36)


def test_too_few_films_have_effects_and_no_auc(scored: Scored) -> None:
    few = scored.only(range(15))
    told = effects(few, {"nothing": few.scores}, CARD)["site"]
    assert "auc" not in told
    assert told["changes"]["nothing"].keys() == {"median", "p95", "other_answer", "opposite_answer"}
    assert with_mirrored(few, few.scores) == {}


def test_the_sample_is_of_each_source_s_validation_films_and_the_same_every_time(
    films: tuple[Film, ...],
) -> None:
    def marked(source: str, *, test: bool) -> Film:
        values = {name: getattr(films[0], name) for name in Film.__slots__}
        return Film(**(values | {"source": source, "test": test}))

    many = [marked("a", test=False)] * 400 + [marked("a", test=True)] * 10 + [marked("b", test=False)] * 5
    scored = Scored(tuple(many), np.arange(415.0), np.zeros((415, 1, 1), np.float32))
    chosen = sample(scored)
    assert [chosen.sources, len(chosen.films)] == [("a", "b"), MOST_FILMS + 5]
    assert not any(film.test for film in chosen.films)
    assert len(set(chosen.scores)) == MOST_FILMS + 5
    np.testing.assert_array_equal(chosen.scores, sample(scored).scores)


def test_averaging_with_the_mirrored_film_is_measured_against_the_film_alone(scored: Scored) -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.5, 60)
    noisy = Scored(scored.films, scored.truth + noise, scored.activations)
    told = with_mirrored(noisy, scored.truth - noise)["site"]
    assert told["auc_with_mirrored"]["value"] == 1.0
    assert told["difference"]["value"] == pytest.approx(1 - told["auc_as_is"]["value"], abs=1e-4)
    assert told["difference"]["interval"][0] > 0


# --- attention -------------------------------------------------------------------------------------------------------


def test_the_peak_is_the_middle_of_the_highest_cell() -> None:
    assert peak_of(np.array([[-3.0, -1.0, -2.0, -4.0]])) == (0.5, 0.375)


@pytest.mark.parametrize(
    ("cell", "in_lungs", "in_box", "shown_in_box"),
    [((2, 2), 1.0, 1.0, 1.0), ((1, 1), 1.0, 0.0, 0.0), ((3, 3), 0.0, 1.0, 1.0), ((0, 3), 0.0, 0.0, 0.0)],
)
def test_the_peak_is_looked_for_in_the_lungs_and_on_the_opacity(
    cell: tuple[int, int],
    in_lungs: float,
    in_box: float,
    shown_in_box: float,
    films: tuple[Film, ...],
) -> None:
    activation = np.zeros((4, 4), np.float32)
    activation[cell] = 1.0
    classifier: Any = Brightness(SimpleNamespace(threshold=0.3, uncertain=(0.2, 0.4)), activation)
    with quiet() as bar:
        scored = score_films(classifier, films, bar)
        told = attention(classifier, Finder(), scored, films, bar)  # type: ignore[arg-type]
    lungs, boxes = told["lungs"]["site"], told["boxes"]
    assert lungs["films"] == lungs["lungs_found"] > 0
    assert lungs["peak_in_lungs"]["value"] == in_lungs
    assert boxes.keys() == {"held_out", "learnt_from"}
    assert sum(part["films"] for part in boxes.values()) == 30
    for part in boxes.values():
        assert part["peak_in_box"]["value"] == in_box
        assert part["shown_peak_in_box"]["value"] == shown_in_box


def test_films_that_were_not_flagged_or_have_no_lungs_are_not_asked(
    scored: Scored, films: tuple[Film, ...]
) -> None:
    with quiet() as bar:
        blind = attention(Brightness(SimpleNamespace(threshold=0.3)), Finder(blind=True), scored, films, bar)  # type: ignore[arg-type]
        none = attention(Brightness(SimpleNamespace(threshold=1.0)), Finder(), scored, films, bar)  # type: ignore[arg-type]
    assert blind["lungs"]["site"]["lungs_found"] == 0
    assert "peak_in_lungs" not in blind["lungs"]["site"]
    assert none["lungs"] == {}
    assert none["boxes"]["held_out"]["flagged"] == 0
    assert "peak_in_box" not in none["boxes"]["held_out"]


# --- subtypes --------------------------------------------------------------------------------------------------------


class LeftAndRight(Brightness):
    """Stands in for a classifier whose features are how bright the film's halves are."""

    def classify(self, radiograph: Radiograph) -> SimpleNamespace:
        halves = np.array_split(radiograph.pixels, 2, axis=1)
        return SimpleNamespace(features=np.array([half.mean() for half in halves], np.float32))


@pytest.mark.parametrize(
    ("tells", "lowest", "highest"),
    [(lambda film: film.positive, 1.0, 1.0), (lambda film: int(film.patient[1:]) // 2 % 2, 0.2, 0.8)],
    ids=["seen in the film", "not seen in the film"],
)
def test_subtypes_are_learnt_from_training_films_and_told_of_others(
    tells: Callable[[Film], bool], lowest: float, highest: float, films: tuple[Film, ...]
) -> None:
    ill = [replace(film, positive=True, subtype="bacteria" if tells(film) else "virus") for film in films]
    # Who validates is told by the patient's name.
    many = [replace(ill[0], patient=f"{number}") for number in range(600)]
    others, validating = (
        [film.patient for film in many if film.validation is part] for part in (False, True)
    )
    named = [
        replace(film, patient=patient, test=test)
        for patients, test in ((others[:60], False), (validating[:60], False), (others[60:120], True))
        for film, patient in zip(ill, patients, strict=True)
    ]
    with quiet() as bar:
        told = subtypes(LeftAndRight(), named, bar)["site"]  # type: ignore[arg-type]
    assert told["learnt_from"] == {"bacteria": 30, "virus": 30}
    for part in ("validation", "test"):
        assert (told[part]["films"], told[part]["bacteria"]) == (60, 30)
        for figure in ("auc", "accuracy", "sensitivity", "specificity"):
            assert lowest <= told[part][figure]["value"] <= highest


def test_films_without_a_subtype_tell_nothing_of_subtypes(films: tuple[Film, ...]) -> None:
    with quiet() as bar:
        assert subtypes(LeftAndRight(), films, bar) == {}  # type: ignore[arg-type]


# --- the command -----------------------------------------------------------------------------------------------------


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    return evaluate_command.run(parser.parse_args(words))


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_everything_is_told_in_tables_json_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = str(make_films(tmp_path / "films", 20))
    plots = tmp_path / "new" / "plots"
    assert command(str(SHIPPED), films, "--full", "--json", "--plots", str(plots)) == 0
    figures = strict_json(capsys.readouterr().out)
    assert figures.keys() == {
        "model",
        "data",
        "threshold",
        "uncertain",
        "groups",
        "operating_points",
        "normals_told_apart",
        "robustness",
        "shortcuts",
        "flips",
        "attention",
        "subtypes",
    }
    assert figures["robustness"]["site"]["changes"]["MONOCHROME1"]["p95"] == 0
    assert figures["shortcuts"]["site"]["changes"].keys() > OCCLUSIONS
    # With so few films there are no curves to draw.
    assert {path.name for path in plots.iterdir()} == {"confusion.png", "robustness.png", "shortcuts.png"}


def test_the_tables_are_whole_in_a_file_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], "split"])
        table.writeheader()
        table.writerows(row | {"split": "test"} for row in rows)
    plots = folder / "plots"
    assert command(str(SHIPPED), str(folder), "--plots", str(plots)) == 0
    printed = capsys.readouterr().out
    assert re.search(r"│ site test +│ +60 │ +30 │ +\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\) │", printed)
    assert max(len(line) for line in printed.splitlines()) <= 120
    assert "…" not in printed
    assert {path.name for path in plots.iterdir()} == {
        "confusion.png",
        "reliability.png",
        "roc.png",
        "scores.png",
    }


@pytest.mark.parametrize("share", ["0", "1.1", "-1"])
def test_a_sensitivity_is_a_share(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command("bundle", "data", "--sensitivities", share)
    assert "not above 0 and at most 1" in capsys.readouterr().err
