"""Attention points at the part of the film that speaks for the finding, in pixels of that film."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.heatmap import attention_from, regions_from
from inference.prediction import Region


def grid(**cells: float) -> np.ndarray:
    """A 7x7 activation, zero but for cells named rNcN."""
    activation = np.zeros((7, 7), np.float32)
    for name, value in cells.items():
        activation[int(name[1]), int(name[3])] = value
    return activation


def test_the_peak_is_one_and_what_speaks_against_is_none() -> None:
    attention = attention_from(grid(r1c2=4.0, r3c3=1.0, r5c5=-9.0))
    values = np.array(attention.values).reshape(attention.rows, attention.columns)
    assert (attention.rows, attention.columns) == (7, 7)
    assert (values[1, 2], values[3, 3], values[5, 5]) == (1.0, 0.25, 0.0)


def test_a_region_lies_where_the_attention_is() -> None:
    (region,) = regions_from(attention_from(grid(r1c5=1.0)), rows=700, columns=1400)
    assert region.top <= 150 <= region.bottom
    assert region.left <= 1100 <= region.right
    assert (region.bottom - region.top) < 250
    assert (region.right - region.left) < 500


def test_the_strongest_of_two_regions_comes_first() -> None:
    left, right = regions_from(attention_from(grid(r3c1=0.8, r3c5=1.0)), 700, 700)
    assert left.left > right.left


def test_no_more_than_three_regions_are_told() -> None:
    corners = attention_from(grid(r0c0=0.7, r0c6=0.8, r6c0=0.9, r6c6=1.0))
    regions = regions_from(corners, 700, 700)
    assert len(regions) == 3
    assert regions[0].right == regions[0].bottom == 700
    assert not any(region.left == region.top == 0 for region in regions)


def test_a_film_where_all_speaks_against_has_its_region_where_that_is_least() -> None:
    (region,) = regions_from(attention_from(grid(r1c5=9.0) - 10), 700, 700)
    assert region.left > 400
    assert region.bottom < 300


@pytest.mark.parametrize("value", [-3.0, 0.0, 2.0])
def test_a_film_that_speaks_evenly_has_one_region_that_is_all_of_it(value: float) -> None:
    attention = attention_from(np.full((7, 7), value, np.float32))
    assert regions_from(attention, 300, 200) == (Region(0, 0, 200, 300),)


@given(
    arrays(np.float32, (7, 7), elements=st.floats(-50, 50, width=32)),
    st.integers(128, 5000),
    st.integers(128, 5000),
)
def test_any_activation_has_regions_inside_the_image(activation: np.ndarray, rows: int, columns: int) -> None:
    attention = attention_from(activation)
    assert all(0 <= value <= 1 for value in attention.values)
    assert max(attention.values) == 1
    regions = regions_from(attention, rows, columns)
    assert 1 <= len(regions) <= 3
    for region in regions:
        assert 0 <= region.left < region.right <= columns
        assert 0 <= region.top < region.bottom <= rows
