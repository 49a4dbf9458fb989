"""One file in, one answer out: what a program gets for a DICOM, PNG or JPEG file."""

import base64
import io

import numpy as np
import pytest
import requests
from PIL import Image

from dicom_node.demo.phantom import chest_phantom
from tests.builders import chest_film, encoded
from tests.peers import NodeProcess
from tests.web.conftest import PASSWORD, pages_of
from tests.web.program import Program


@pytest.fixture(scope="module")
def program(node: NodeProcess) -> Program:
    return Program(pages_of(node), "vera", PASSWORD)


def predict(program: Program, content: bytes, name: str = "film") -> dict[str, object]:
    answer = program.ask("POST", "/predict", files={"file": (name, content)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def picture(format_: str, bits: int = 8) -> bytes:
    grey = chest_phantom(640, 560, opacity=True, seed="1").astype(np.float64)
    grey /= grey.max()
    array = (grey * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, format_)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [encoded(chest_film(rows=640, columns=560)), picture("PNG"), picture("PNG", 16), picture("JPEG")],
    ids=["DICOM", "PNG", "PNG of 16 bits", "JPEG"],
)
def test_a_file_is_answered_with_score_class_regions_and_heatmap(program: Program, content: bytes) -> None:
    found = predict(program, content)
    assert found["answer"] in ("likely", "uncertain", "unlikely")
    assert 0 <= found["score"] <= 1
    assert found["uncertain_from"] <= found["likely_from"]
    assert (found["regions"] == []) is (found["answer"] == "unlikely")
    heatmap = Image.open(io.BytesIO(base64.b64decode(found["heatmap_png"])))
    assert (heatmap.format, heatmap.width) == ("PNG", 560)
    assert "NOT FOR PRIMARY DIAGNOSIS" in found["disclaimer"]


def test_the_same_pixels_get_the_same_score_in_every_form(program: Program) -> None:
    scores = [predict(program, picture("PNG", bits))["score"] for bits in (8, 16)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_what_is_not_analysable_is_said_with_its_reason(program: Program) -> None:
    lateral = predict(program, encoded(chest_film(view="LL")))
    assert (lateral["answer"], lateral["not_analysable"]["code"]) == (None, "lateral_view")
    broken = predict(program, picture("PNG")[:2000])
    assert broken["not_analysable"]["code"] == "undecodable_pixels"
    nothing = predict(program, b"no picture at all")
    assert nothing["not_analysable"]["code"] == "unreadable_file"
    large = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(large, "PNG")
    assert predict(program, large.getvalue())["not_analysable"]["code"] == "too_large"


def test_nothing_of_the_file_stays(program: Program, node: NodeProcess) -> None:
    before = node.status()["instances_received"]
    predict(program, encoded(chest_film()), name="Müller^Anna.dcm")
    assert node.status()["instances_received"] == before
    assert not list((node.folder / "data" / "incoming").iterdir())


def test_who_has_not_logged_in_gets_no_answer(node: NodeProcess) -> None:
    answer = requests.post(pages_of(node) + "/predict", files={"file": b"x"}, timeout=60)
    assert (answer.status_code, answer.json()) == (401, {"detail": "log in first"})


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(program: Program) -> None:
    answer = program.ask("POST", "/predict", headers={"Content-Length": str(10**12)}, data=b"")
    assert answer.status_code == 413


def test_a_form_without_a_file_is_named(program: Program) -> None:
    answer = program.ask("POST", "/predict", data={"other": "x"})
    assert (answer.status_code, "file" in answer.json()["detail"]) == (422, True)
