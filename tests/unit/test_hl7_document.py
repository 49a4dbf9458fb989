"""docs/hl7.md tells of every field of a message and of no other, and its example is a message."""

import re
from dataclasses import replace
from pathlib import Path

import hl7

from config.hl7 import Hl7Destination
from dicom_node.results.study import PriorAnswer, StudyReading
from dicom_node.results.worklist_message import build_message
from inference.prediction import Answer
from tests.builders import NAMES
from tests.readings import film, likely, reading

DOCUMENT = Path(__file__).parents[2] / "docs" / "hl7.md"


def study() -> StudyReading:
    """A study that fills every field that a message can have."""
    made = film(likely(), name=NAMES["utf8"])
    made.header.PlacerOrderNumberImagingServiceRequest = "PLACER-9"
    return replace(reading(made), priors=(PriorAnswer("20250101", 0.12, Answer.UNLIKELY, same_model=True),))


def message() -> str:
    to = Hl7Destination(
        name="ris",
        host="ris.example.org",
        port=2575,
        sending_facility="RADIOLOGY",
        receiving_application="RIS",
        receiving_facility="HOSPITAL",
    )
    content = build_message(study(), to, is_told=False)
    assert content is not None
    return content.decode()


def test_the_example_is_what_the_node_sends() -> None:
    [example] = re.findall(
        r"<!-- example -->\n```\n(.*?)```\n<!-- end -->", DOCUMENT.read_text("utf-8"), re.DOTALL
    )
    assert example == message().replace("\r", "\n")


def test_the_table_names_every_field_of_a_message_and_no_other() -> None:
    table = DOCUMENT.read_text("utf-8").partition("## Field by field")[2].partition("## What")[0]
    told = {
        name
        for row in re.findall(r"^\| ([A-Z][A-Z0-9, -]+) \|", table, re.MULTILINE)
        for name in row.split(", ")
    }
    filled = {
        f"{segment[0]}-{place}"
        for segment in hl7.parse(message())
        for place in range(1, len(segment))
        if str(segment[place])
    }
    assert told == filled
