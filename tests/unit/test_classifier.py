"""The shipped model answers as its card says, the same each time, or the node does not start with it."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.card import CARD_NAME, GRAPH_NAME, SHIPPED, WEIGHTS_NAME, load_card
from inference.classifier import Classifier
from inference.engine import Choice
from inference.errors import ModelDamaged
from inference.preprocessing import network_input
from inference.radiograph import Radiograph
from tests.builders import chest_film

if TYPE_CHECKING:
    from inference.network import FilmNetwork


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(SHIPPED)


def phantom(rows: int = 640, columns: int = 560) -> NDArray[np.float32]:
    film = chest_film(rows=rows, columns=columns)
    return (np.frombuffer(film.PixelData, "<u2").reshape(rows, columns) / 4095).astype(np.float32)


def copy_of_shipped(folder: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, folder / "bundle"))


def test_the_card_tells_films_beginnings_and_figures() -> None:
    card = load_card(SHIPPED)
    assert card.labels == ("pneumonia",)
    assert 0 < card.threshold < 1
    assert card.training["films"]["kermany pneumonia training"] > 3000
    assert card.training["initial_weights"]["sha256"]
    test = card.figures["groups"]["kermany test"]
    assert test["films"] == 624
    low, high = test["auc"]["interval"]
    assert 0.95 < low <= test["auc"]["value"] <= high


def test_no_file_of_the_bundle_is_larger_than_it_may_be() -> None:
    for path in SHIPPED.iterdir():
        assert path.stat().st_size < 8_000_000, path.name


def test_the_same_film_gives_the_same_answer(classifier: Classifier) -> None:
    first, second = (classifier.classify(Radiograph(phantom())) for _ in range(2))
    assert 0 <= first.score <= 1
    assert first.score == second.score
    np.testing.assert_array_equal(first.activation, second.activation)


def test_the_map_explains_the_score(classifier: Classifier) -> None:
    """The map's mean is the logit but for a constant, so what it shows is what was scored."""
    shift = []
    for film in (phantom(), phantom()[:, ::-1].copy(), phantom()[::-1].copy()):
        found = classifier.classify(Radiograph(film))
        logit = np.log(found.score / (1 - found.score)) * classifier.card.temperature
        shift.append(logit - found.activation.mean())
    assert np.ptp(shift) == pytest.approx(0, abs=1e-3)


def test_the_map_moves_with_what_it_shows(classifier: Classifier) -> None:
    film = phantom()
    bright = film.copy()
    bright[330:450, 120:230] += 0.5  # an opacity at the base of the lung that is left in the picture
    change = (
        classifier.classify(Radiograph(np.clip(bright, 0, 1))).activation
        - classifier.classify(Radiograph(film)).activation
    )
    row, column = (np.argwhere(np.abs(change) == np.abs(change).max())[0] + 0.5) / change.shape
    assert 0.4 < row < 0.8
    assert 0.1 < column < 0.5


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.0), (0.5, 0.4), (0.8, 0.1)])
def test_exposure_does_not_change_what_the_network_sees(gain: float, offset: float) -> None:
    film = np.clip(phantom(), 0.02, 0.98)
    np.testing.assert_allclose(
        network_input((film * gain + offset).astype(np.float32), 224), network_input(film, 224), atol=0.02
    )


@pytest.mark.parametrize("border", [0.0, 1.0])
def test_a_border_does_not_change_the_contrast(border: float) -> None:
    film = 0.3 + 0.4 * phantom(640, 640)
    bordered = np.full((1280, 1280), border, np.float32)
    bordered[320:960, 320:960] = film
    inside = network_input(bordered, 224)[58:166, 58:166]
    np.testing.assert_allclose(inside, network_input(film, 112)[2:110, 2:110], atol=0.05)


def test_one_grey_is_no_division_by_zero() -> None:
    assert np.isfinite(network_input(np.full((200, 200), 0.4, np.float32), 224)).all()


def test_a_film_of_any_size_becomes_the_networks_square() -> None:
    assert network_input(phantom(1001, 333), 224).shape == (224, 224)
    assert network_input(phantom(130, 200), 224).shape == (224, 224)


@pytest.mark.parametrize("side", [64, 224, 700], ids=["shrunk much", "shrunk", "enlarged"])
def test_pictures_are_resampled_as_torch_would(side: int) -> None:
    """Others' networks are trained on pictures that torch resampled; on real films the two differ by 2e-5 at most."""
    import torch

    film = np.linspace(0, 1, 500 * 400, dtype=np.float32).reshape(500, 400)
    film = (0.1 + (film + np.random.default_rng(1).random(film.shape, np.float32)) * 0.4).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(film)[None, None], size=(side, side), mode="bilinear", antialias=True
    )[0, 0].numpy()
    low, high = np.percentile(film, (1, 99))
    wanted = np.clip((wanted - low) / (high - low), 0, 1)
    np.testing.assert_allclose(network_input(film, side), wanted, atol=1e-4)


@pytest.mark.parametrize("name", [WEIGHTS_NAME, GRAPH_NAME])
def test_a_changed_file_is_refused(name: str, tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(ModelDamaged) as damaged:
        Classifier(bundle)
    assert damaged.value.path == bundle / name


@pytest.mark.parametrize("missing", [CARD_NAME, WEIGHTS_NAME, GRAPH_NAME])
def test_an_incomplete_bundle_is_refused(missing: str, tmp_path: Path) -> None:
    bundle = copy_of_shipped(tmp_path)
    (bundle / missing).unlink()
    with pytest.raises(ModelDamaged):
        Classifier(bundle)


def test_nothing_but_safetensors_is_ever_loaded_as_weights(tmp_path: Path) -> None:
    import pickle

    bundle = copy_of_shipped(tmp_path)
    evil = pickle.dumps({"classifier.bias": 0})
    (bundle / WEIGHTS_NAME).write_bytes(evil)
    card = json.loads((bundle / CARD_NAME).read_text())
    (bundle / CARD_NAME).write_text(json.dumps(card | {"sha256": sha256(evil).hexdigest()}))
    with pytest.raises(ModelDamaged):
        Classifier(bundle)


SMALL = "mobilenetv3_small_050"


def bundle_of(network: "FilmNetwork", folder: Path, labels: list[str]) -> Path:
    """A bundle with that network of the architecture SMALL, and a card that names these labels."""
    from inference.network import save_weights
    from inference.training.export import write_graph

    write_graph(network, folder / GRAPH_NAME, 64)
    save_weights(network, folder / WEIGHTS_NAME)
    hashes = [sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS_NAME, GRAPH_NAME)]
    card = json.loads((SHIPPED / CARD_NAME).read_text(encoding="utf-8"))
    card |= {"architecture": SMALL, "labels": labels, "input_size": 64, "suitability_sha256": None}
    card |= dict(zip(("sha256", "graph_sha256"), hashes, strict=True))
    (folder / CARD_NAME).write_text(json.dumps(card), encoding="utf-8")
    return folder


def test_the_card_must_name_as_many_labels_as_the_network_answers(tmp_path: Path) -> None:
    from inference.network import FilmNetwork

    network = FilmNetwork(SMALL, labels=2)
    assert Classifier(bundle_of(network, tmp_path, ["pneumonia", "effusion"])).channels > 1
    with pytest.raises(ModelDamaged):
        Classifier(bundle_of(network, tmp_path, ["pneumonia"]))


@pytest.mark.parametrize("answered", [(0, 2), (0, 1), (0, 1, 2, 2)], ids=["no map", "no features", "more"])
def test_a_network_that_answers_something_else_is_refused_before_the_first_film(
    answered: tuple[int, ...], tmp_path: Path
) -> None:
    from inference.network import FilmNetwork

    class Other(FilmNetwork):
        def forward(self, pictures: Any) -> Any:
            answers = super().forward(pictures)
            return tuple(answers[place] + 0 for place in answered)

    with pytest.raises(ModelDamaged):
        Classifier(bundle_of(Other(SMALL), tmp_path, ["pneumonia"]))


def test_a_network_that_answers_no_number_is_refused_before_the_first_film(tmp_path: Path) -> None:
    from inference.network import FilmNetwork

    network = FilmNetwork(SMALL)
    network.classifier.bias.data.fill_(float("nan"))
    with pytest.raises(ModelDamaged, match="no number"):
        Classifier(bundle_of(network, tmp_path, ["pneumonia"]))


@pytest.mark.parametrize("damaged", [0, 1, 2], ids=["logit", "map", "features"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_no_score(
    value: float, damaged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflowing:
        name = "overflowing"

        def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
            answers = np.zeros(1, np.float32), np.zeros((1, 14, 14), np.float32), np.zeros(8, np.float32)
            answers[damaged].flat[0] = value if picture.any() else 0
            return answers

    monkeypatch.setattr("inference.classifier.load_engine", lambda *_: Choice(Overflowing()))
    overflowing = Classifier(SHIPPED)
    with pytest.raises(ModelDamaged, match="no number"):
        overflowing.classify(Radiograph(phantom()))


def test_what_the_command_line_imports_does_not_wait_for_torch() -> None:
    light = "prediction card errors radiograph suitability training.train evaluation.evaluate"
    code = "import sys\n" + "".join(f"import inference.{name}\n" for name in light.split())
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
