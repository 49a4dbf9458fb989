"""A viewer that applies the presentation state shows the film as the model's heatmap does: dcmtk's renderer agrees."""

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from config.peers import ResultKind
from dicom_node.results import encode
from dicom_node.results.study import Film
from inference.radiograph import read_radiograph
from tests.builders import chest_film, encoded
from tests.peers import tool
from tests.readings import likely, reading, results_of


def _lut(bits: int) -> Dataset:
    """A film's own curve over twelve bits, in a table with entries of `bits`."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, bits])
    curve = np.sqrt(np.arange(4096) / 4095) * (2**bits - 1)
    item.add_new("LUTData", "OW", curve.astype(np.uint8 if bits == 8 else "<u2").tobytes())
    return item


FILMS = {
    "usual": {},
    "inverse": {"photometric": "MONOCHROME1"},
    "narrow window": {"WindowCenter": "2000", "WindowWidth": "1500"},
    "two windows": {"WindowCenter": ["2000", "500"], "WindowWidth": ["1500", "10"]},
    "exact window": {"VOILUTFunction": "LINEAR_EXACT", "WindowCenter": "2000", "WindowWidth": "1500"},
    "inverse, narrow window": {"photometric": "MONOCHROME1", "WindowCenter": "2000", "WindowWidth": "1500"},
    "rescaled": {
        "RescaleSlope": "2",
        "RescaleIntercept": "-1024",
        "WindowCenter": "2976",
        "WindowWidth": "3000",
    },
    "LUT of 8 bits": {"VOILUTSequence": [_lut(8)]},
    "LUT of 12 bits": {"VOILUTSequence": [_lut(12)]},
    "inverse, LUT of 16 bits": {"photometric": "MONOCHROME1", "VOILUTSequence": [_lut(16)]},
}


@pytest.mark.parametrize("attributes", FILMS.values(), ids=FILMS)
def test_the_film_looks_as_without_the_presentation_state(
    attributes: dict[str, object], tmp_path: Path
) -> None:
    film = encoded(chest_film(**attributes))  # type: ignore[arg-type]
    header = dcmread(BytesIO(film), stop_before_pixels=True)
    state = results_of(reading(Film(header, likely())))[ResultKind.PRESENTATION_STATE]
    (tmp_path / "film.dcm").write_bytes(film)
    (tmp_path / "state.dcm").write_bytes(encode(state))
    command = [tool("dcmp2pgm"), "-p", "state.dcm", "film.dcm", "shown.pgm"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    shown = np.asarray(Image.open(tmp_path / "shown.pgm")) / 255
    assert np.abs(shown - read_radiograph(dcmread(BytesIO(film))).pixels).max() < 0.01
