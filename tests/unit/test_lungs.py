"""The lungs are found where they are, each on its own side, and in nothing that is no upright frontal chest."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from inference.card import CARD_NAME, GRAPH_NAME, WEIGHTS_NAME
from inference.errors import ModelDamaged
from inference.lungs import CELLS, PICTURE_SIDE, SHIPPED, LungFinder, Lungs
from inference.preprocessing import network_input
from inference.radiograph import read_radiograph


@pytest.fixture(scope="module")
def finder() -> LungFinder:
    return LungFinder()


def phantom(opacity: bool = False) -> NDArray[np.float32]:
    drawn = chest_phantom(640, 560, opacity=opacity) / np.float32(BLACK_TO_WHITE)
    return network_input(drawn.astype(np.float32), PICTURE_SIDE)


def real(name: str) -> NDArray[np.float32]:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    return network_input(read_radiograph(pydicom.dcmread(str(path))).pixels, PICTURE_SIDE)


def share(lung: NDArray[np.bool_], row: slice, column: slice) -> float:
    """How much of a part of the film, in hundredths of its sides, belongs to a lung."""
    rows = slice(row.start * CELLS // 100, row.stop * CELLS // 100)
    columns = slice(column.start * CELLS // 100, column.stop * CELLS // 100)
    return float(lung[rows, columns].mean())


def overlap(some: Lungs, others: Lungs) -> float:
    return float((some.both & others.both).sum() / (some.both | others.both).sum())


def test_each_lung_is_found_on_its_own_side(finder: LungFinder) -> None:
    """The patient faces the reader: what is called the right lung is on the left of the picture."""
    lungs = finder.find(phantom())
    assert lungs.found
    assert share(lungs.right, slice(30, 60), slice(24, 36)) > 0.95
    assert share(lungs.left, slice(30, 60), slice(64, 76)) > 0.95
    assert not lungs.right[:, CELLS // 2 :].any()
    assert not lungs.left[:, : CELLS // 2].any()


def test_lungs_end_at_the_chest_wall_and_above_the_diaphragm(finder: LungFinder) -> None:
    both = finder.find(phantom()).both
    assert share(both, slice(0, 100), slice(0, 5)) == 0
    assert share(both, slice(0, 100), slice(95, 100)) == 0
    assert share(both, slice(92, 100), slice(0, 100)) == 0


def test_an_opacity_belongs_to_the_lung(finder: LungFinder) -> None:
    assert overlap(finder.find(phantom(opacity=True)), finder.find(phantom())) > 0.9
    assert share(finder.find(phantom(opacity=True)).right, slice(58, 70), slice(25, 35)) > 0.95


def test_lungs_move_with_the_chest(finder: LungFinder) -> None:
    moved = np.roll(phantom(), 16, axis=1)
    moved[:, :16] = 0
    columns = [float(np.nonzero(finder.find(film).right)[1].mean()) for film in (phantom(), moved)]
    assert columns[1] - columns[0] == pytest.approx(16 * CELLS / PICTURE_SIDE, abs=1.0)


def test_the_same_film_gives_the_same_lungs(finder: LungFinder) -> None:
    first, second = finder.find(phantom()), finder.find(phantom())
    np.testing.assert_array_equal(first.right, second.right)
    np.testing.assert_array_equal(first.left, second.left)


@pytest.mark.parametrize("turns", [1, 3])
def test_a_chest_on_its_side_has_no_lungs_to_find(finder: LungFinder, turns: int) -> None:
    lungs = finder.find(np.rot90(phantom(), turns).copy())
    assert not lungs.found


@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_a_blank_picture_has_no_lungs(finder: LungFinder, grey: float) -> None:
    lungs = finder.find(np.full((PICTURE_SIDE, PICTURE_SIDE), grey, np.float32))
    assert not lungs.found
    assert not lungs.both.any()


def test_lungs_of_a_real_chest_are_found(finder: LungFinder) -> None:
    lungs = finder.find(real("RG1_UNCR.dcm"))
    assert lungs.found
    assert 0.1 < lungs.right.mean() < 0.35
    assert 0.1 < lungs.left.mean() < 0.35


def test_a_real_leg_has_no_lungs(finder: LungFinder) -> None:
    assert not finder.find(real("RG3_UNCR.dcm")).found


def bundle(folder: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, folder / "bundle"))


def test_the_card_tells_where_the_lungs_were_learnt(finder: LungFinder) -> None:
    card = json.loads((SHIPPED / CARD_NAME).read_text(encoding="utf-8"))
    assert {source["licence"] for source in card["training"]["data"]}
    assert card["figures"]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", [CARD_NAME, WEIGHTS_NAME, GRAPH_NAME])
def test_half_a_bundle_is_refused(tmp_path: Path, name: str) -> None:
    damaged = bundle(tmp_path)
    (damaged / name).unlink()
    with pytest.raises(ModelDamaged, match="install the package"):
        LungFinder(damaged)


@pytest.mark.parametrize("name", [WEIGHTS_NAME, GRAPH_NAME])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    damaged = bundle(tmp_path)
    content = bytearray((damaged / name).read_bytes())
    content[-1] ^= 1
    (damaged / name).write_bytes(content)
    with pytest.raises(ModelDamaged, match="SHA-256"):
        LungFinder(damaged)


def test_weights_of_something_else_are_refused_even_with_their_own_hash(tmp_path: Path) -> None:
    damaged = bundle(tmp_path)
    other = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"  # a safetensors file without tensors
    (damaged / WEIGHTS_NAME).write_bytes(other)
    card = json.loads((damaged / CARD_NAME).read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(other).hexdigest()
    (damaged / CARD_NAME).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelDamaged, match="cannot be run with these weights"):
        LungFinder(damaged)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("Conv", "does not answer where two lungs are"), ("Constant", "cannot be run to its end")],
    ids=["maps", "a number"],
)
def test_a_graph_that_answers_more_than_lungs_is_refused_before_the_first_film(
    kind: str, fault: str, tmp_path: Path
) -> None:
    damaged = bundle(tmp_path)
    model = onnx.load(damaged / GRAPH_NAME, load_external_data=False)
    more = next(node.output[0] for node in model.graph.node if node.op_type == kind)
    model.graph.output.append(onnx.ValueInfoProto(name=more))
    content = model.SerializeToString()
    (damaged / GRAPH_NAME).write_bytes(content)
    card = json.loads((damaged / CARD_NAME).read_text(encoding="utf-8"))
    card["graph_sha256"] = hashlib.sha256(content).hexdigest()
    (damaged / CARD_NAME).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelDamaged, match=fault):
        LungFinder(damaged)


def test_a_card_nested_too_deep_is_refused(tmp_path: Path) -> None:
    damaged = bundle(tmp_path)
    (damaged / CARD_NAME).write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(ModelDamaged, match="card"):
        LungFinder(damaged)
