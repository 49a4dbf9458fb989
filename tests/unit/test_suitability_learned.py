"""A picture that is no upright frontal chest gets no score, even where its header says nothing against it.

Asked of the shipped bundle, with the real radiographs of pydicom-data and drawn ones.
"""

import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from inference.card import CARD_NAME, SHIPPED, SUITABILITY_NAME, load_card, write_card
from inference.errors import ImageRejected, ModelDamaged
from inference.prediction import NotAnalysable, Prediction, Reason
from inference.radiograph import Radiograph, read_radiograph
from inference.reader import ChestReader
from inference.suitability_learned import KINDS, LearnedSuitability, described
from inference.training.suitability import fit_suitability
from tests.builders import chest_film, write

Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def reader() -> ChestReader:
    return ChestReader(SHIPPED, 0.0, None)


def real(name: str) -> Pixels:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    return read_radiograph(dcmread(str(path))).pixels


def drawn(rows: int = 400, columns: int = 360, *, opacity: bool = False) -> Pixels:
    pixels: Pixels = chest_phantom(rows, columns, opacity=opacity).astype(np.float32)
    return pixels / np.float32(BLACK_TO_WHITE)


def read(reader: ChestReader, pixels: Pixels, folder: Path) -> Prediction | NotAnalysable:
    """Ask for the picture under the header of a good frontal chest film."""
    rows, columns = pixels.shape
    film = chest_film(rows=rows, columns=columns, WindowCenter=None, WindowWidth=None)
    film.PixelData = np.rint(pixels * BLACK_TO_WHITE).astype("<u2").tobytes()
    return reader.read(write(film, folder / "film.dcm"))


CHANGES: dict[str, tuple[Callable[[Pixels], Pixels], frozenset[Reason]]] = {
    "inverted": (lambda pixels: 1 - pixels, frozenset({Reason.INVERTED})),
    "on its left side": (np.rot90, frozenset({Reason.TURNED})),
    "on its right side": (lambda pixels: np.rot90(pixels, 3), frozenset({Reason.TURNED})),
    "on its head": (lambda pixels: np.rot90(pixels, 2), frozenset({Reason.TURNED})),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("chest", [lambda: real("RG1_UNCR.dcm"), drawn], ids=["real", "drawn"])
def test_an_inverted_or_turned_chest_is_told_as_such(
    reader: ChestReader, tmp_path: Path, chest: Callable[[], Pixels], change: str
) -> None:
    changed, reasons = CHANGES[change]
    answer = read(reader, changed(chest()), tmp_path)
    assert isinstance(answer, NotAnalysable)
    assert answer.reason in reasons


@pytest.mark.parametrize("half", ["left", "right"])
def test_one_lung_alone_is_not_analysable(reader: ChestReader, tmp_path: Path, half: str) -> None:
    chest = real("RG1_UNCR.dcm")
    middle = chest.shape[1] // 2
    answer = read(reader, chest[:, :middle] if half == "left" else chest[:, middle:], tmp_path)
    assert isinstance(answer, NotAnalysable)


@pytest.mark.parametrize("name", ["RG3_UNCR.dcm", "693_UNCR.dcm", "MR2_UNCR.dcm"])
def test_a_leg_a_slice_of_a_head_or_of_a_belly_is_not_analysable(
    reader: ChestReader, tmp_path: Path, name: str
) -> None:
    assert isinstance(read(reader, real(name), tmp_path), NotAnalysable)


def test_noise_and_stripes_are_not_analysable(reader: ChestReader, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    coarse = np.kron(random.random((20, 20)), np.ones((20, 20))).astype(np.float32)
    stripes = np.tile(0.5 + 0.5 * np.sin(np.arange(400) / 20), (400, 1)).astype(np.float32)
    for pixels in (random.random((400, 400)).astype(np.float32), coarse, stripes):
        assert isinstance(read(reader, pixels, tmp_path), NotAnalysable)


@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.4])
def test_chests_are_read_in_any_usual_exposure(reader: ChestReader, tmp_path: Path, gamma: float) -> None:
    for pixels in (real("RG1_UNCR.dcm"), drawn(), drawn(opacity=True), drawn(1024, 864)):
        assert isinstance(read(reader, pixels**gamma, tmp_path), Prediction)


def test_a_chest_with_borders_is_read(reader: ChestReader, tmp_path: Path) -> None:
    chest = real("RG1_UNCR.dcm")[::4, ::4]
    margin = chest.shape[1] // 20
    for grey in (0.0, 1.0):
        assert isinstance(read(reader, np.pad(chest, margin, constant_values=grey), tmp_path), Prediction)


CHANNELS = 4


def everything_seems_suitable() -> LearnedSuitability:
    width = described(Radiograph(drawn()), np.ones(CHANNELS, np.float32)).size
    return LearnedSuitability(
        centre=np.zeros(width, np.float32),
        scale=np.ones(width, np.float32),
        weights=np.zeros((len(KINDS), width), np.float32),
        biases=np.eye(1, len(KINDS), dtype=np.float32)[0],
        sources=np.array([[-9.0] * 4, [1.0] * 4], np.float32),
        axes=np.eye(1, 4, dtype=np.float32),
        variances=np.ones(1, np.float32),
        remainder=np.ones(1, np.float32),
        limit=np.ones(1, np.float32),
    )


@pytest.mark.parametrize("feature", [100.0, np.inf, np.nan], ids=str)
def test_a_film_far_from_every_source_is_refused_whatever_kind_it_seems(feature: float) -> None:
    learned, film = everything_seems_suitable(), Radiograph(drawn())
    learned.check(film, np.full(CHANNELS, 1.0, np.float32))
    with pytest.raises(ImageRejected) as rejected, np.errstate(invalid="ignore"):
        learned.check(film, np.full(CHANNELS, feature, np.float32))
    assert rejected.value.reason is Reason.UNLIKE_TRAINING


def bundle_without(folder: Path) -> Path:
    bundle = folder / "bundle"
    shutil.copytree(SHIPPED, bundle)
    return bundle


def test_what_is_suitable_must_be_what_the_card_says(tmp_path: Path) -> None:
    bundle = bundle_without(tmp_path)
    (bundle / SUITABILITY_NAME).write_bytes((bundle / SUITABILITY_NAME).read_bytes()[:-1] + b"\1")
    with pytest.raises(ModelDamaged):
        load_card(bundle)
    (bundle / SUITABILITY_NAME).unlink()
    with pytest.raises(ModelDamaged):
        load_card(bundle)


def test_what_is_suitable_for_another_version_is_refused(tmp_path: Path) -> None:
    learned = everything_seems_suitable()
    replace(learned, weights=learned.weights[1:], biases=learned.biases[1:]).save(tmp_path / "file")
    with pytest.raises(ModelDamaged, match="other kinds of films"):
        LearnedSuitability.load(tmp_path / "file", CHANNELS)
    (tmp_path / "file").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelDamaged):
        LearnedSuitability.load(tmp_path / "file", CHANNELS)


@pytest.mark.parametrize("channels", [1, CHANNELS - 1, CHANNELS + 1])
def test_what_is_suitable_for_another_network_is_refused(channels: int, tmp_path: Path) -> None:
    everything_seems_suitable().save(tmp_path / "file")
    assert LearnedSuitability.load(tmp_path / "file", CHANNELS).sources.shape == (2, CHANNELS)
    with pytest.raises(ModelDamaged, match=f"network of {channels} features"):
        LearnedSuitability.load(tmp_path / "file", channels)


@pytest.mark.parametrize("name", [field.name for field in fields(LearnedSuitability)])
def test_what_is_suitable_must_be_whole_and_of_numbers(name: str, tmp_path: Path) -> None:
    learned = everything_seems_suitable()
    whole = getattr(learned, name)
    for broken in (whole[..., :-1], whole[None], np.full_like(whole, np.nan)):
        replace(learned, **{name: np.ascontiguousarray(broken)}).save(tmp_path / "file")
        with pytest.raises(ModelDamaged, match="fit it again"):
            LearnedSuitability.load(tmp_path / "file", CHANNELS)


def test_a_bundle_with_another_networks_suitability_is_refused_before_the_first_film(tmp_path: Path) -> None:
    bundle = bundle_without(tmp_path)
    card = load_card(bundle)
    everything_seems_suitable().save(bundle / SUITABILITY_NAME)
    digest = sha256((bundle / SUITABILITY_NAME).read_bytes()).hexdigest()
    write_card(bundle, replace(card, suitability_sha256=digest))
    with pytest.raises(ModelDamaged, match="fit it again"):
        ChestReader(bundle, 0.0, None)


def test_a_hospitals_own_films_decide_what_is_suitable(tmp_path: Path) -> None:
    """Fitted to drawn films, a bundle reads drawn films and tells them turned; its card says how well."""
    data = tmp_path / "data"
    data.mkdir()
    lines = ["file,label,patient"]
    for number in range(20):
        pixels = chest_phantom(160, 140, opacity=number % 2 == 0, seed=str(number)) // 16
        Image.fromarray(pixels.astype(np.uint8)).save(data / f"{number}.png")
        lines.append(f"{number}.png,{'pneumonia' if number % 2 == 0 else 'normal'},p{number}")
    (data / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    other = data / "suitability" / "not_a_chest" / "stripes"
    other.mkdir(parents=True)
    Image.fromarray(np.tile(np.arange(160, dtype=np.uint8), (160, 1))).save(other / "1.png")
    bundle = bundle_without(tmp_path)
    card = fit_suitability(bundle, [data])
    assert load_card(bundle) == card
    assert (bundle / CARD_NAME).read_text(encoding="utf-8") != (SHIPPED / CARD_NAME).read_text(
        encoding="utf-8"
    )
    told = card.figures["suitability"]
    assert told["lost"]["site"]["films"] > 0
    assert {"inverted, site", "turned, site", "cropped, site", "not_a_chest, supplied"} <= set(
        told["refused"]
    )
    own = ChestReader(bundle, 0.0, None)
    assert isinstance(read(own, drawn(320, 280), tmp_path), Prediction)
    assert read(own, np.rot90(drawn(320, 280)), tmp_path) == NotAnalysable(Reason.TURNED)
