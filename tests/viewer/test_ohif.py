"""What a radiologist sees of the results in OHIF, the open viewer that many archives bring along."""

import os
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.dataset import Dataset

from dicom_node.demo.archive import OrthancArchive
from tests.peers import wait_for
from tests.viewer.conftest import FILMS, Study
from tests.viewer.ohif import Box, Ohif

DOCUMENTS = Path(__file__).parents[2] / "docs"
CINE_BAR = '[data-cy^="cine-player"]'
CERTAINTY_OF_FINDING, MEASUREMENT_GROUP = "111012", "125007"
# what stands over each film of the demonstration
WORDS = {
    "made: likely": ["Right lung"],
    "made: normal": ["AI: pneumonia unlikely (score", "Does not exclude disease."],
    "made: lateral": ["AI: 1 image not analysed: lateral view; only frontal views (PA, AP) are analysed."],
}


def keep_picture(ohif: Ohif, name: str) -> None:
    """Keep the page as a picture of the documentation, where `make pictures` asks for it."""
    if os.environ.get("MAKE_PICTURES"):
        ohif.page().save(DOCUMENTS / name, quality=85)


def is_picture_of(seen: NDArray[np.uint8], sent: NDArray[np.uint8]) -> bool:
    """Whether a canvas shows a picture, fitted into it, and in its colours where it has any."""
    fitted = np.asarray(ImageOps.pad(Image.fromarray(sent), (seen.shape[1], seen.shape[0])), dtype=float)
    coloured = np.ptp(fitted, axis=2) > 60
    difference = np.abs(seen - fitted).mean(axis=2)
    return difference.mean() < 5 and (not coloured.any() or difference[coloured].mean() < 20)


def test_the_series_list_shows_the_answer(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies["made: likely"]
    ohif.open_study(study.uid, study.series)
    for made in study.results:
        # under a thumbnail OHIF puts its ellipsis over the last letter
        assert ohif.readable_part(made.SeriesDescription).startswith("PNEUMONIA LIKEL")
    assert ohif.errors == []


def test_the_heatmap_is_on_the_canvas(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies["made: likely"]
    ohif.open_study(study.uid, study.series)
    ohif.open_series(study.heatmap.SeriesDescription)
    sent = study.heatmap.pixel_array
    wait_for(lambda: is_picture_of(ohif.canvas(), sent), why="the canvas shows something else")
    assert not ohif.shows(CINE_BAR)
    keep_picture(ohif, "ohif-heatmap.jpg")
    assert ohif.errors == []


@pytest.mark.parametrize("name", FILMS)
def test_the_report_opens_over_the_film(ohif: Ohif, studies: dict[str, Study], name: str) -> None:
    study = studies[name]
    ohif.open_study(study.uid, study.series)
    ohif.open_series(study.report.SeriesDescription)
    wait_for(ohif.is_drawn, why="the viewport is black")
    canvas, regions = ohif.canvas().shape, regions_of(study.report)
    assert regions, "OHIF 3.13 draws nothing of a report without one"
    for region in regions:
        expected = on_canvas(region, study.film, canvas)
        wait_for(lambda box=expected: is_among(box, ohif.regions()), why=f"not drawn: {region}")
    if name == "made: likely":
        ohif.say_no()
        keep_picture(ohif, "ohif-report.jpg")
    assert ohif.errors == []


@pytest.mark.parametrize(("name", "said"), WORDS.items())
def test_the_reports_words_can_be_read_in_the_viewport(
    ohif: Ohif, studies: dict[str, Study], name: str, said: list[str]
) -> None:
    study = studies[name]
    ohif.open_study(study.uid, study.series)
    ohif.open_series(study.report.SeriesDescription)
    scores = [f"Certainty of Finding: {score:.2f} %" for score in scores_of(study.report)]
    for words in [*said, *scores]:
        wait_for(lambda words=words: any(words in line for line in ohif.lines()), why=f"not written: {words}")
    width, height = ohif.viewport()
    for line, box in ohif.lines().items():
        assert box.left >= 0, line
        assert box.top >= 0, line
        assert box.left + box.width <= width, line
        assert box.top + box.height <= height, line


@pytest.mark.parametrize("modality", ["KO", "PR"])
def test_what_ohif_does_not_draw_leaves_the_film_in_the_viewport(
    ohif: Ohif, studies: dict[str, Study], modality: str
) -> None:
    study = studies["made: likely"]
    made = study.only(modality)
    ohif.open_study(study.uid, study.series)
    assert made.SeriesDescription in ohif.series()
    ohif.open_series(made.SeriesDescription)
    wait_for(lambda: ohif.says("could not be added to the viewport"), why="OHIF said nothing")
    assert ohif.is_drawn()
    assert ohif.errors == []


def test_the_archive_renders_the_heatmap(archive: OrthancArchive, studies: dict[str, Study]) -> None:
    heatmap = studies["made: likely"].heatmap
    address = (
        f"{archive.url}/dicom-web/studies/{heatmap.StudyInstanceUID}/series/{heatmap.SeriesInstanceUID}"
        f"/instances/{heatmap.SOPInstanceUID}/rendered"
    )
    asked = urllib.request.Request(address, headers={"Accept": "image/png"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        rendered = np.asarray(Image.open(BytesIO(answer.read())))
    assert np.array_equal(rendered, heatmap.pixel_array)


def is_among(expected: Box, drawn: list[Box]) -> bool:
    """Whether a box is drawn, to a line's width."""
    return any(np.allclose(each, expected, atol=3) for each in drawn)


def items_of(report: Dataset) -> list[Dataset]:
    """Return all content items of a report."""
    found = [report]
    for item in found:
        found.extend(item.get("ContentSequence", []))
    return found


def scores_of(report: Dataset) -> list[float]:
    """Return the certainty of each finding, in percent."""
    return [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in items_of(report)
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == CERTAINTY_OF_FINDING
    ]


def regions_of(report: Dataset) -> list[Box]:
    """Return the line of each group that OHIF draws, its first, by the box around it in pixels of the film."""
    boxes = []
    for group in items_of(report):
        if group.ValueType == "CONTAINER" and group.ConceptNameCodeSequence[0].CodeValue == MEASUREMENT_GROUP:
            line = next(item for item in items_of(group) if item.ValueType == "SCOORD")
            points = np.reshape(line.GraphicData, (-1, 2))
            boxes.append(Box(*points.min(axis=0), *np.ptp(points, axis=0)))
    return boxes


def on_canvas(region: Box, film: Dataset, canvas: tuple[int, ...]) -> Box:
    """Return where a region of the film is on a canvas into which the film is fitted."""
    scale = min(canvas[0] / film.Rows, canvas[1] / film.Columns)
    left, top = (canvas[1] - scale * film.Columns) / 2, (canvas[0] - scale * film.Rows) / 2
    return Box(
        left + scale * region.left, top + scale * region.top, scale * region.width, scale * region.height
    )
