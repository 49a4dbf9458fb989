"""The pictures of the documentation are what the code draws; `make pictures` draws them again."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread, dcmwrite

from config.settings import Settings
from dicom_node.analysis import Analyst
from dicom_node.demo.films import demo_films
from dicom_node.tasks import AnalysedFilm, StudyTask

PICTURE = Path(__file__).parents[2] / "docs" / "heatmap.jpg"
HEIGHT = 720


def test_the_heatmap_in_the_readme_is_what_the_node_sends_of_that_film(tmp_path: Path) -> None:
    film = next(each for each in demo_films(None) if each.name == "made: likely")
    path = tmp_path / "film.dcm"
    dcmwrite(path, film.dataset, enforce_file_format=True)
    analyst = Analyst(Settings())
    made = analyst.report(StudyTask((AnalysedFilm(path, analyst.analyse(path)),), 1, 0.0, None))
    [heatmap] = [each for each in made if each.kind == "heatmap"]
    full = Image.fromarray(dcmread(BytesIO(heatmap.content)).pixel_array)
    drawn = full.resize((full.width * HEIGHT // full.height, HEIGHT), Image.Resampling.LANCZOS)
    if os.environ.get("MAKE_PICTURES"):
        drawn.save(PICTURE, quality=88)
    kept = np.asarray(Image.open(PICTURE).convert("RGB"), dtype=float)
    assert kept.shape == (drawn.height, drawn.width, 3)
    assert np.abs(kept - np.asarray(drawn, dtype=float)).mean() < 4
