"""Attention points at the part of the lungs that speaks for the finding, in pixels of that film."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.heatmap import attention_from, regions_from, side_of
from inference.lungs import CELLS, Lungs
from inference.prediction import Attention, Region, Side

NOWHERE = np.zeros((CELLS, CELLS), np.bool_)
NO_LUNGS = Lungs(NOWHERE, NOWHERE)


def lungs() -> Lungs:
    """Two upright ellipses: the patient's right lung on the left of the picture."""
    row, column = np.mgrid[:CELLS, :CELLS] / CELLS
    right, left = (((row - 0.5) / 0.35) ** 2 + ((column - at) / 0.17) ** 2 < 1 for at in (0.28, 0.72))
    return Lungs(right, left)


def one_lung(name: str) -> Lungs:
    """Those lungs, one of them not found."""
    return replace(lungs(), **{"right": NOWHERE, "left": NOWHERE, name: getattr(lungs(), name)})


def grid(**cells: float) -> np.ndarray:
    """A 7x7 activation, zero but for cells named rNcN."""
    activation = np.zeros((7, 7), np.float32)
    for name, value in cells.items():
        activation[int(name[1]), int(name[3])] = value
    return activation


def values(attention: Attention) -> np.ndarray:
    return np.array(attention.values).reshape(attention.rows, attention.columns)


def test_the_peak_is_one_and_what_speaks_against_is_none() -> None:
    map_ = values(attention_from(grid(r1c2=4.0, r3c3=1.0, r5c5=-9.0), NO_LUNGS))
    middles = map_[2::4, 2::4]
    assert map_.max() == middles[1, 2] == 1.0
    assert middles[3, 3] == pytest.approx(0.25, abs=0.1)
    assert middles[5, 5] == 0.0


def test_attention_outside_the_lungs_is_not_shown() -> None:
    map_ = values(attention_from(grid(r3c3=9.0, r0c0=5.0, r3c5=1.0), lungs()))
    assert map_[:3].max() == 0  # above the lungs
    row, column = np.unravel_index(map_.argmax(), map_.shape)
    assert lungs().both[2 * row, 2 * column]


@pytest.mark.parametrize(
    ("found", "activation"),
    [("left", grid(r3c1=9.0, r3c5=1.0)), ("right", grid(r3c5=9.0, r3c1=1.0))],
    ids=["left", "right"],
)
def test_attention_on_a_lung_that_was_not_found_is_shown(found: str, activation: np.ndarray) -> None:
    """A white lung is the one that the finder misses, and the one that matters."""
    map_ = values(attention_from(activation, one_lung(found)))
    peak = np.unravel_index(activation.argmax(), activation.shape)
    assert map_[2::4, 2::4][peak] == map_.max() == 1.0


def test_a_region_ends_where_the_lung_ends() -> None:
    regions = regions_from(attention_from(grid(r3c3=9.0), lungs()), CELLS, CELLS)
    assert regions
    for region in regions:
        middle = (region.left + region.right) // 2, (region.top + region.bottom) // 2
        assert lungs().both[middle[1], middle[0]]
        assert region.right <= CELLS // 2 or region.left >= CELLS // 2


def test_a_region_lies_where_the_attention_is() -> None:
    (region,) = regions_from(attention_from(grid(r1c5=1.0), NO_LUNGS), rows=700, columns=1400)
    assert region.top <= 150 <= region.bottom
    assert region.left <= 1100 <= region.right
    assert (region.bottom - region.top) < 250
    assert (region.right - region.left) < 500


def test_the_strongest_of_two_regions_comes_first() -> None:
    left, right = regions_from(attention_from(grid(r3c1=0.8, r3c5=1.0), lungs()), 700, 700)
    assert left.left > right.left


def test_no_more_than_three_regions_are_told() -> None:
    corners = attention_from(grid(r0c0=0.7, r0c6=0.8, r6c0=0.9, r6c6=1.0), NO_LUNGS)
    regions = regions_from(corners, 700, 700)
    assert len(regions) == 3
    assert regions[0].right == regions[0].bottom == 700
    assert not any(region.left == region.top == 0 for region in regions)


def test_a_speck_beside_a_region_is_none_of_its_own() -> None:
    map_ = np.zeros((28, 28))
    map_[10:16, 6:10] = 1.0
    map_[20, 20] = 0.6
    (region,) = regions_from(Attention(28, 28, tuple(map_.ravel())), 280, 280)
    assert region.right <= 110


def test_a_film_where_all_speaks_against_has_its_region_where_that_is_least() -> None:
    (region,) = regions_from(attention_from(grid(r1c5=9.0) - 10, NO_LUNGS), 700, 700)
    assert region.left > 400
    assert region.bottom < 300


@pytest.mark.parametrize("value", [-3.0, 0.0, 2.0])
def test_a_film_that_speaks_evenly_has_one_region_that_is_all_of_it(value: float) -> None:
    attention = attention_from(np.full((7, 7), value, np.float32), NO_LUNGS)
    assert regions_from(attention, 300, 200) == (Region(0, 0, 200, 300),)


@pytest.mark.parametrize(
    ("activation", "usual", "mirrored"),
    [
        (grid(r3c1=1.0), Side.RIGHT, Side.LEFT),
        (grid(r3c5=1.0), Side.LEFT, Side.RIGHT),
        (grid(r3c1=1.0, r3c5=0.9), Side.BILATERAL, Side.BILATERAL),
    ],
)
def test_the_side_is_the_patients_own_however_the_film_hangs(
    activation: np.ndarray, usual: Side, mirrored: Side
) -> None:
    attention = attention_from(activation, lungs())
    assert {side_of(attention, lungs(), rows) for rows in ("", "L", "LF")} == {usual}
    assert {side_of(attention, lungs(), rows) for rows in ("R", "RH")} == {mirrored}
    assert {side_of(attention, lungs(), rows) for rows in ("F", "A", "FP", "?")} == {None}


@pytest.mark.parametrize(
    "found", [NO_LUNGS, one_lung("left"), one_lung("right")], ids=["none", "left", "right"]
)
def test_without_both_lungs_no_side_is_told(found: Lungs) -> None:
    assert side_of(attention_from(grid(r3c1=1.0), found), found, "L") is None


def test_the_side_is_that_of_the_regions_whatever_glows_faintly_in_the_other_lung() -> None:
    faint = dict.fromkeys(("r2c5", "r3c5", "r4c5", "r2c4", "r3c4", "r4c4"), 0.3)
    attention = attention_from(grid(r3c1=1.0, **faint), lungs())
    (region,) = regions_from(attention, 700, 700)
    assert region.right <= 350
    assert side_of(attention, lungs(), "L") is Side.RIGHT


def test_attention_that_no_lung_holds_is_on_no_side() -> None:
    assert side_of(Attention(28, 28, (1.0, *[0.0] * 783)), lungs(), "L") is None


@given(
    arrays(np.float32, (7, 7), elements=st.floats(-50, 50, width=32)),
    st.sampled_from([lungs(), one_lung("left"), NO_LUNGS]),
    st.integers(128, 5000),
    st.integers(128, 5000),
)
def test_any_activation_has_regions_inside_the_image(
    activation: np.ndarray, found: Lungs, rows: int, columns: int
) -> None:
    attention = attention_from(activation, found)
    assert all(0 <= value <= 1 for value in attention.values)
    assert max(attention.values) == 1
    regions = regions_from(attention, rows, columns)
    assert 1 <= len(regions) <= 3
    for region in regions:
        assert 0 <= region.left < region.right <= columns
        assert 0 <= region.top < region.bottom <= rows
