"""A film's own values for a screen, and the window in which it is shown first."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.radiograph import read_radiograph
from inference.samples import SampledFilm, read_samples, reduced
from tests.builders import chest_film, encoded


def film(**attributes: object) -> Dataset:
    return dcmread(BytesIO(encoded(chest_film(**attributes))))  # type: ignore[arg-type]


def as_viewer(sampled: SampledFilm) -> np.ndarray:
    """What the light view draws at first, 0 to 1."""
    grey = np.frombuffer(sampled.grey, np.uint8)
    return grey[sampled.samples] / 255


def lookup(entries: list[int], first: int, *, bits: int = 16) -> list[Dataset]:
    table = Dataset()
    table.LUTDescriptor = [len(entries), first, bits]
    table.LUTData = np.array(entries, "<u2").tobytes()
    table.ModalityLUTType = "US"
    return [table]


def films() -> Iterator[tuple[str, Dataset]]:
    yield "as usual", film()
    yield "inverted", film(photometric="MONOCHROME1")
    yield (
        "inverted, in a narrow window",
        film(photometric="MONOCHROME1", WindowCenter="2000", WindowWidth="1500"),
    )
    yield "for processing", film(kind="DX_PROCESSING")
    yield "of a slope", film(RescaleSlope="0.25", RescaleIntercept="-100")
    yield "of a falling slope", film(RescaleSlope="-1", RescaleIntercept="4095")
    yield "sigmoid", film(VOILUTFunction="SIGMOID")
    rising = [round(65535 * (each / 4095) ** 2) for each in range(4096)]
    yield (
        "of a modality LUT",
        film(ModalityLUTSequence=lookup(rising, 0), without=["WindowCenter", "WindowWidth"]),
    )
    yield "padded", film(PixelPaddingValue=0)


FILMS = dict(films())


@pytest.mark.parametrize("name", FILMS)
def test_it_is_shown_first_as_every_radiograph_is(name: str) -> None:
    made = FILMS[name]
    sampled = read_samples(made)
    assert np.abs(as_viewer(sampled) - read_radiograph(made).pixels).max() < 0.004


@pytest.mark.parametrize("name", FILMS)
def test_a_window_with_the_numbers_that_stand_there_looks_nearly_the_same(name: str) -> None:
    made = FILMS[name]
    sampled = read_samples(made)
    values = sampled.intercept + sampled.slope * sampled.samples.astype(float)
    share = np.clip((values - (sampled.centre - 0.5)) / (sampled.width - 1) + 0.5, 0, 1)
    shown = 1 - share if sampled.is_inverted else share
    if sampled.padding:
        first, last = sampled.padding
        shown[(sampled.samples >= first) & (sampled.samples <= last)] = 0
    # a window is a line: what a header's curve makes of the middle greys is not
    allowed = 0.35 if name in ("sigmoid", "for processing") else 0.03
    assert np.abs(shown - read_radiograph(made).pixels).max() < allowed


def test_values_are_the_films_own() -> None:
    made = film(RescaleSlope="0.25", RescaleIntercept="-100")
    sampled = read_samples(made)
    values = sampled.intercept + sampled.slope * sampled.samples.astype(float)
    assert np.allclose(values, 0.25 * made.pixel_array - 100)


def test_what_fills_a_picture_up_is_told_apart() -> None:
    made = film()
    cells = made.pixel_array.copy()
    cells[:20] = 0
    made.PixelData = cells.tobytes()
    made.PixelPaddingValue = 0
    sampled = read_samples(made)
    assert sampled.padding is not None
    assert set(np.unique(sampled.samples[:20])) == set(range(sampled.padding[0], sampled.padding[1] + 1))


def test_a_film_of_one_value_is_shown() -> None:
    made = film()
    made.PixelData = np.full((made.Rows, made.Columns), 7, np.uint16).tobytes()
    sampled = read_samples(made)
    assert sampled.width >= 1
    assert len(sampled.grey) == 1


def test_fewer_samples_are_the_means_of_squares() -> None:
    samples = (np.arange(7 * 5, dtype=np.uint16).reshape(7, 5) ** 2) + 64000
    assert reduced(samples, 2).tolist() == [
        [int(samples[row : row + 2, column : column + 2].mean() + 0.5) for column in (0, 2)]
        for row in (0, 2, 4)
    ]
