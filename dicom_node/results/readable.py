"""A report as text that a person can read without a viewer: the outline of its content tree (PS3.3 C.17.3)."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.results import codes

_INDENT = "  "


def readable_text(report: Dataset) -> str:
    """The report's content, one item a line, indented as it is nested; ends with a newline.

    Holds what the report says and nothing from the radiograph's header: no name, no date of birth.
    """
    lines = [report.SeriesDescription, *_summary(report), "", *_outline(report, depth=0)]
    return "\n".join(lines) + "\n"


def _summary(item: Dataset) -> Iterator[str]:
    """The one sentence that a reader wants first: TID 1500 has it near the end."""
    for child in item.get("ContentSequence", []):
        if child.ValueType == "TEXT" and child.ConceptNameCodeSequence[0].CodeValue == codes.SUMMARY.value:
            yield child.TextValue
        yield from _summary(child)


def _outline(item: Dataset, depth: int) -> Iterator[str]:
    yield _INDENT * depth + _line(item)
    for child in item.get("ContentSequence", []):
        yield from _outline(child, depth + 1)


def _line(item: Dataset) -> str:
    name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
    value = _value(item)
    return f"{name}: {value}" if name and value else name or value


def _value(item: Dataset) -> str:
    """The value of a content item by its Value Type (PS3.3 table C.17.3-7)."""
    value = ""
    match item.ValueType:
        case "CODE":
            value = item.ConceptCodeSequence[0].CodeMeaning
        case "TEXT":
            value = item.TextValue
        case "UIDREF":
            value = item.UID
        case "NUM":
            measured = item.MeasuredValueSequence[0]
            value = f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
        case "SCOORD":
            coordinates = [f"{number:g}" for number in item.GraphicData]
            points = zip(coordinates[::2], coordinates[1::2], strict=True)
            value = f"{item.GraphicType} " + " ".join(f"({x}, {y})" for x, y in points)
        case "IMAGE":
            reference = item.ReferencedSOPSequence[0]
            value = f"{UID(reference.ReferencedSOPClassUID).name} {reference.ReferencedSOPInstanceUID}"
    return value
