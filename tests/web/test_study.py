"""A radiologist looks at one study: its films in the light view, and what was said of them."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from dicom_node.demo.films import demo_films
from inference.radiograph import read_radiograph
from storage import audit
from storage.engine import Database
from storage.folder import DATABASE_NAME
from storage.schema import instances
from storage.steps import Step
from tests.builders import chest_film, made_uid, write
from tests.peers import NodeProcess, Pacs, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, let_in, pages_of
from tests.web.pictures import keep
from tests.web.program import Program

EARLIER = ("20230114", "20240620", "20250505")
VIEWER = 'viewer_link = "https://viewer.example.org/viewer?StudyInstanceUIDs={study_instance_uid}&a={accession_number}"'
SEEN = made_uid("study", "seen")
POINTS = [(0.3, 0.3), (0.35, 0.5), (0.5, 0.5), (0.6, 0.4), (0.7, 0.6), (0.5, 0.8), (0.25, 0.7)]
"""Shares of a film's rows and columns."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[NodeProcess]:
    """A node that knows the hospital's viewer."""
    with NodeProcess(tmp_path_factory.mktemp("node"), pacs.port, web=f"port = 0\n{VIEWER}") as made:
        let_in(made)
        yield made


@pytest.fixture(scope="module")
def film() -> Dataset:
    """A film on which pneumonia is likely, stored as MONOCHROME1, and larger than what is shown first."""
    likely: Dataset = next(each for each in demo_films(None) if each.name == "made: likely").dataset
    for keyword, value in (
        ("PatientName", "Nowak^Ewa"),
        ("PatientID", "P-1"),
        ("IssuerOfPatientID", ""),
        ("PatientBirthDate", "19500317"),
        ("StudyDate", "20260301"),
        ("StudyInstanceUID", SEEN),
        ("AccessionNumber", "A 7/8"),
        ("Manufacturer", "Maker"),
        ("ManufacturerModelName", "Model 1"),
    ):
        setattr(likely, keyword, value)
    return likely


@pytest.fixture(scope="module", autouse=True)
def films(tmp_path_factory: pytest.TempPathFactory, node: NodeProcess, film: Dataset) -> None:
    folder = tmp_path_factory.mktemp("films")
    patient = {"PatientName": "Nowak^Ewa", "PatientID": "P-1", "PatientBirthDate": "19500317"}
    patient["IssuerOfPatientID"] = ""
    made = [
        *(
            chest_film(study=f"earlier {date}", StudyDate=date, opacity=date > "2025", **patient)
            for date in EARLIER
        ),
        chest_film(study="seen", view="LL", StudyDate="20260301", AccessionNumber="A 7/8", **patient),
        chest_film(study="gone", AccessionNumber="", PatientID="P-2"),
        chest_film(study="broken", PatientID="P-3", PixelData=b"\0\0"),
    ]
    for number, each in enumerate(made):
        assert node.send(write(each, folder / f"{number}.dcm")) == 0
    film.save_as(folder / "likely.dcm", enforce_file_format=True)
    assert node.send(folder / "likely.dcm") == 0
    wait_for(lambda: node.settled(len(made) + 1))


def open_study(browser: Browser, study: str = SEEN) -> None:
    browser.visit(f"/studies/{study}")
    wait_for(lambda: evaluate(browser, "'ready' in document.getElementById('stage').dataset"))


def evaluate(browser: Browser, expression: str) -> Any:
    return browser.chromium.evaluate(expression)


def value(browser: Browser, field: str) -> float:
    return float(evaluate(browser, f"Number(document.getElementById('{field}').value)"))


def colours(browser: Browser) -> list[list[int]]:
    """What is drawn at POINTS of the film, where it was fitted into the stage: red, green and blue."""
    script = """(() => {
        const canvas = document.getElementById('canvas'), pen = canvas.getContext('2d');
        const [rows, columns, points] = ROWS_COLUMNS_POINTS;
        const scale = Math.min(canvas.width / columns, canvas.height / rows);
        const left = (canvas.width - scale * columns) / 2, top = (canvas.height - scale * rows) / 2;
        return points.map(([down, across]) => [...pen.getImageData(
            Math.floor(left + scale * columns * across), Math.floor(top + scale * rows * down), 1, 1).data
        ].slice(0, 3));
    })()"""
    rows, columns = evaluate(browser, "window.size") or (0, 0)
    points = [list(each) for each in POINTS]
    found: list[list[int]] = evaluate(
        browser, script.replace("ROWS_COLUMNS_POINTS", str([rows, columns, points]))
    )
    return found


def greys(browser: Browser) -> list[int]:
    """The same, without the heatmap."""
    found = colours(browser)
    assert all(max(each) == min(each) for each in found), found
    return [each[0] for each in found]


def settled(browser: Browser, action: Any) -> None:
    """Do something, and wait until the film is drawn anew."""
    before = evaluate(browser, "document.getElementById('stage').dataset.drawn")
    action()
    wait_for(lambda: evaluate(browser, "document.getElementById('stage').dataset.drawn") != before)


@pytest.fixture
def plain(radiologist: Browser, film: Dataset) -> Browser:
    """A radiologist before the film, without heatmap and regions."""
    open_study(radiologist)
    evaluate(radiologist, f"window.size = [{film.Rows}, {film.Columns}]; 0")
    settled(radiologist, lambda: radiologist.key("h"))
    return radiologist


def as_at_first(browser: Browser) -> None:
    settled(browser, lambda: browser.press("Reset"))
    settled(browser, lambda: browser.key("h"))


def test_the_film_is_shown_as_a_viewer_shows_it(plain: Browser, film: Dataset) -> None:
    assert film.PhotometricInterpretation == "MONOCHROME1"
    pixels = read_radiograph(film).pixels
    expected = []
    for down, across in POINTS:
        row, column = int(down * film.Rows), int(across * film.Columns)
        expected.append(255 * float(pixels[row - 2 : row + 3, column - 2 : column + 3].mean()))
    assert np.abs(np.array(greys(plain)) - expected).max() < 12
    assert max(expected) - min(expected) > 80


def middle(browser: Browser) -> tuple[float, float]:
    x, y, width, height = evaluate(
        browser,
        "(box => [box.x, box.y, box.width, box.height])(document.getElementById('stage').getBoundingClientRect())",
    )
    return x + width / 2, y + height / 2


def drag(browser: Browser, x: float, y: float, button: str = "left") -> None:
    left, top = middle(browser)
    command = browser.chromium.command
    start = {"x": left, "y": top}
    command("Input.dispatchMouseEvent", type="mousePressed", button=button, clickCount=1, **start)
    end = {"x": left + x, "y": top + y}
    command("Input.dispatchMouseEvent", type="mouseMoved", button=button, buttons=1, **end)
    command("Input.dispatchMouseEvent", type="mouseReleased", button=button, clickCount=1, **end)


def touch(browser: Browser, *moments: list[tuple[float, float]]) -> None:
    """Lay fingers on the stage, from its middle, move them, and lift them."""
    x, y = middle(browser)
    for number, moment in enumerate(moments):
        points = [
            {"x": x + across, "y": y + down, "id": finger} for finger, (across, down) in enumerate(moment)
        ]
        kind = "touchMove" if number else "touchStart"
        browser.chromium.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.chromium.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def test_the_window_is_moved_by_mouse_touch_keys_and_numbers(plain: Browser) -> None:
    centre, width, first = value(plain, "centre"), value(plain, "width"), greys(plain)
    settled(plain, lambda: drag(plain, 100, 0))
    assert value(plain, "width") > width
    assert value(plain, "centre") == centre
    settled(plain, lambda: drag(plain, -100, 60))
    assert value(plain, "centre") > centre
    assert np.mean(greys(plain)) > np.mean(first) + 5  # MONOCHROME1: a higher centre is lighter
    as_at_first(plain)
    assert (value(plain, "centre"), value(plain, "width"), greys(plain)) == (centre, width, first)
    settled(plain, lambda: touch(plain, [(0, 0)], [(0, -50)]))
    assert value(plain, "centre") < centre
    as_at_first(plain)
    evaluate(plain, "document.getElementById('stage').focus()")
    plain.chromium.command("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", modifiers=8)
    assert value(plain, "width") > width
    plain.fill("Width", str(round(width / 2)))
    settled(plain, lambda: plain.key("Tab"))
    assert np.std(greys(plain)) > np.std(first)
    plain.fill("Width", "")
    plain.key("Tab")
    assert value(plain, "width") == round(width / 2)


def test_it_is_inverted_and_back(plain: Browser) -> None:
    first = greys(plain)
    settled(plain, lambda: plain.press("Invert"))
    assert np.abs(255 - np.array(greys(plain)) - first).max() <= 2
    settled(plain, lambda: plain.key("i"))
    assert greys(plain) == first


def test_it_is_zoomed_and_moved(plain: Browser) -> None:
    first = greys(plain)

    def rectangle() -> tuple[float, float]:
        found = evaluate(
            plain,
            "(each => [each.x.baseVal.value, each.width.baseVal.value])(document.querySelector('#marks .region'))",
        )
        return found[0], found[1]

    left, width = rectangle()
    settled(plain, lambda: plain.key("+"))
    assert rectangle()[1] == pytest.approx(1.25 * width)
    settled(plain, lambda: plain.press("Farther"))
    assert rectangle() == pytest.approx((left, width))
    x, y = 300, 300
    settled(
        plain,
        lambda: plain.chromium.command(
            "Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-100
        ),
    )
    assert rectangle()[1] == pytest.approx(1.25 * width)
    settled(plain, lambda: touch(plain, [(-40, 0), (40, 0)], [(-60, 0), (60, 0)], [(-80, 0), (80, 0)]))
    assert rectangle()[1] > 1.5 * width
    settled(plain, lambda: plain.key("0"))
    evaluate(plain, "document.getElementById('stage').focus()")
    settled(plain, lambda: plain.key("ArrowRight"))
    assert rectangle()[0] == pytest.approx(left - 40)
    settled(plain, lambda: drag(plain, 25, 0, "right"))
    assert rectangle()[0] == pytest.approx(left - 15)
    as_at_first(plain)
    assert greys(plain) == first


def test_heatmap_and_regions_lie_over_it(plain: Browser) -> None:
    assert value(plain, "opacity") == 0
    settled(plain, lambda: plain.key("h"))
    assert value(plain, "opacity") == 55
    assert max(max(each) - min(each) for each in colours(plain)) > 20
    settled(plain, lambda: plain.key("["))
    assert value(plain, "opacity") == 45
    words = evaluate(plain, "[...document.querySelectorAll('#marks text')].map(each => each.textContent)")
    assert words[0] == "1: 1.00"
    settled(plain, lambda: plain.press("Regions"))
    assert evaluate(plain, "document.querySelectorAll('#marks rect').length") == 0


def test_what_was_said_and_sent_stands_beside_it(radiologist: Browser) -> None:
    open_study(radiologist)
    for words in (
        "Nowak, Ewa",
        "P-1, born 1950-03-17",
        "A 7/8",
        "▲ pneumonia likely",
        "Maker Model 1",
        "✓ delivered",
    ):
        assert words in radiologist.text
    assert "structured report\tpacs\tdone" in radiologist.text
    scores = evaluate(
        radiologist,
        "[...document.querySelectorAll('.chart + table tbody tr')].map(each => each.innerText.split('\\t')[0])",
    )
    assert [each[:10] for each in scores] == ["2026-03-01", "2025-05-05", "2024-06-20", "2023-01-14"]
    assert evaluate(radiologist, "document.querySelectorAll('.chart circle').length") == 4
    link = evaluate(radiologist, "document.getElementById('viewer').href")
    assert link == f"https://viewer.example.org/viewer?StudyInstanceUIDs={SEEN}&a=A%207%2F8"
    keep(radiologist, "study")
    assert radiologist.chromium.errors == []
    assert radiologist.violations() == []


def test_the_other_film_is_one_key_away_and_says_why_there_is_no_answer(radiologist: Browser) -> None:
    open_study(radiologist)
    radiologist.key("n")
    radiologist.sees("lateral view; only frontal views")
    wait_for(lambda: evaluate(radiologist, "'ready' in document.getElementById('stage').dataset"))
    assert evaluate(radiologist, "document.getElementById('opacity').disabled")
    assert radiologist.violations() == []
    radiologist.key("p")
    radiologist.sees("Regions of attention")


def test_a_region_that_is_drawn_goes_into_the_feedback(radiologist: Browser, film: Dataset) -> None:
    open_study(radiologist)
    radiologist.sees("Is the answer right?")
    radiologist.key("m")
    radiologist.sees("Draw a box on the film.")
    drag(radiologist, 60, 40)
    wait_for(lambda: evaluate(radiologist, "document.getElementById('region').open"))
    left, right = value(radiologist, "region-left"), value(radiologist, "region-right")
    assert left == pytest.approx(film.Columns / 2, abs=5)
    assert right - left == pytest.approx(
        60 * film.Rows / evaluate(radiologist, "document.getElementById('canvas').height"), abs=4
    )


def test_a_film_that_cannot_be_shown_says_why(radiologist: Browser) -> None:
    radiologist.visit(f"/studies/{made_uid('study', 'broken')}")
    radiologist.sees("The film cannot be shown: pixel data cannot be decoded.")
    radiologist.key("i")  # does nothing, and breaks nothing
    assert radiologist.violations() == []


def test_a_film_that_retention_has_removed_is_not_there(radiologist: Browser, node: NodeProcess) -> None:
    gone = made_uid("study", "gone")
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.write(Step.BY_HAND) as connection:
        about = instances.update().where(instances.c.study_instance_uid == gone)
        connection.execute(about.values(object_removed_at=1.0, patient_name=""))
    database.close()
    radiologist.visit(f"/studies/{gone}")
    radiologist.sees("The film is no longer kept here")
    radiologist.sees("name not known")
    assert "Open in the viewer" not in radiologist.text  # without an accession number there is no such link
    assert radiologist.violations() == []


def test_a_study_that_there_is_not(radiologist: Browser) -> None:
    radiologist.visit("/studies/1.2.3")
    radiologist.sees("There is no such study here.")


def test_programs_get_the_same_and_every_look_is_written_down(node: NodeProcess, film: Dataset) -> None:
    program = Program(pages_of(node), "vera", PASSWORD)
    study = program.ask("GET", f"/api/studies/{SEEN}").json()
    frontal, lateral = study["films"]
    assert (frontal["answer"], lateral["reason"][:12]) == ("likely", "lateral view")
    assert len(study["priors"]) == 3
    [of_frontal, _] = program.ask("GET", f"/api/studies/{SEEN}/regions").json()
    assert of_frontal == {"sop_instance_uid": film.SOPInstanceUID, "regions": frontal["regions"]}
    path = f"/api/studies/{SEEN}/films/{film.SOPInstanceUID}"
    picture = program.ask("GET", path).json()
    assert (picture["rows"], picture["columns"]) == (film.Rows, film.Columns)
    samples = np.frombuffer(program.ask("GET", f"{path}/samples").content, "<u2").reshape(
        film.Rows, film.Columns
    )
    values = picture["intercept"] + picture["slope"] * samples.astype(float)
    assert np.array_equal(values, film.pixel_array)
    step = picture["step"]
    coarse = program.ask("GET", f"{path}/samples?first=true").content
    assert step > 1
    assert len(coarse) == 2 * (film.Rows // step) * (film.Columns // step)
    with Image.open(BytesIO(program.ask("GET", f"{path}/attention").content)) as attention:
        assert attention.mode == "RGBA"
    for unknown in (
        "1.2.3",
        f"{SEEN}/films/1.2.3",
        f"{SEEN}/films/1.2.3/samples",
        f"{SEEN}/films/1.2.3/attention",
    ):
        assert program.ask("GET", f"/api/studies/{unknown}").status_code == 404
    lateral_path = f"/api/studies/{SEEN}/films/{lateral['sop_instance_uid']}"
    assert program.ask("GET", f"{lateral_path}/attention").status_code == 404
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.read() as connection:
        looks = [each.detail for each in audit.latest(connection, "study_looked_at")]
    database.close()
    by_vera = [
        each["command"] for each in looks if each["user"] == "vera" and each["study_instance_uid"] == SEEN
    ]
    assert sorted(by_vera) == ["film", "film", "regions", "study"]
