"""Every reason that the node writes down is explained: the code is searched for them, and none may be missing."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node import dicomweb, fetcher, handshake, reconciliation
from dicom_node.channels import mllp
from dicom_node.earlier_films import unaskable
from dicom_node.errors import ANSWER_UNREADABLE, DEADLINE_EXCEEDED, WORKER_DIED
from dicom_node.explanations import REASONS, explained, status_explained
from inference.prediction import Reason
from storage.queue import DIED
from storage.records import OBJECT_MISSING

REPOSITORY = Path(__file__).parents[2]
FAULTS = {"PeerUnreachable", "AccessRefused", "TransferFailed", "QueryFailed", "ResultRefused"}
WRITERS = {"_put_back", "put_back", "_give_up", "give_up", "_end", "_reject", "_stop", "put_off"}
"""What is called with a reason among its arguments."""
NO_REASONS = {"delivery_rejected", "delivery_failed"}
"""What else is among them: events of the log."""
NOT_QUEUED = {"commands", "web", "echo.py"}
"""What only answers at once, and writes nothing down."""
FILLED = {
    "service": "C-STORE",
    "self._service": "C-GET",
    "method": "POST",
    "setting": "token_file",
    "acknowledgement.code": "AE",
    "failed.reason": "it speaks no TLS",
    "reason_of(error)": "it speaks no TLS",
    "answer.reason_str.lower()": "called ae title not recognised",
    "made.SOPClassUID.name": "Comprehensive 3D SR Storage",
    "fault.reason": "no DICOM answer at this host and port",
    "why": "it may speak TLS alone",
    "UNKNOWN": mllp.UNKNOWN,
}
"""What stands for what is filled in; anything else is a number."""


def words(node: ast.expr) -> str | None:
    """A text as it stands in the code, with an example of what is filled in; None: it is none."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(each.value) if isinstance(each, ast.Constant) else _filled(each) for each in parts
            )
        case ast.IfExp(body=body):
            return words(body)
    return None


def _filled(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    if part.format_spec is not None and "04X" in ast.unparse(part.format_spec):
        return "A700"
    return FILLED.get(ast.unparse(part.value), "404")


def written_in_code() -> set[str]:
    """Every text that is given to a fault of a delivery, or to what writes a reason down."""
    files = [file for room in ("dicom_node", "storage") for file in (REPOSITORY / room).rglob("*.py")]
    return {
        text
        for file in files
        if not {file.name, file.parent.name} & NOT_QUEUED
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for text in map(words, _given(node, file.parent.name))
        if text and text not in (*NO_REASONS, *FILLED)
    }


def _given(node: ast.AST, folder: str) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=given) if (
            name in FAULTS | WRITERS
        ):
            return given
        case ast.Assign(targets=[ast.Name(id="reason")], value=value):
            return [value]
        case ast.Assign(targets=[ast.Name(id="words")], value=value) if folder == "channels":
            return [value]
    return []


def returned(function: Callable[..., object]) -> list[str]:
    """Every text that a function returns."""
    body = ast.parse(inspect.getsource(function))
    values = [
        each.value for each in ast.walk(body) if isinstance(each, ast.Return) and each.value is not None
    ]
    return [text for text in map(words, values) if text]


FROM_TABLES = {
    *Reason,
    *(WORKER_DIED, DIED, DEADLINE_EXCEEDED, ANSWER_UNREADABLE, OBJECT_MISSING, reconciliation.MISSED),
    *(f"TLS: {each}" for each in (handshake._VERIFICATION | handshake._FAULTS).values()),
    *(f"TLS: it refuses this node's certificate: {each}" for each in handshake._ALERTS.values()),
    *(f"HTTP {status}: {words}" for status, words in dicomweb._REFUSALS.items()),
    *(
        f"answered {code}, error {key}: {each}"
        for code in ("AE", "CR")
        for key, each in mllp._ERROR_CODES.items()
    ),
    *returned(unaskable),
    "delivered, and by the settings no longer to be committed",
    f"not finished within {fetcher.LONGEST_SECONDS:g} seconds",
    "more data than is fetched",
    "key_file must have no passphrase: key.pem",
    "ValueError",
}
EVERY = sorted(written_in_code() | FROM_TABLES)


@pytest.mark.parametrize("reason", EVERY)
def test_a_reason_is_explained(reason: str) -> None:
    found = explained(reason)
    assert found is not None, reason
    assert found.sentence[0].isupper() or found.sentence.split()[0].endswith("_file")
    assert found.sentence.endswith(".") and found.mend.endswith("."), found


def test_many_reasons_are_found_in_the_code() -> None:
    """Where the search finds nothing it proves nothing."""
    assert len(written_in_code()) > 50
    assert len(returned(unaskable)) == 2


def test_no_explanation_is_of_what_is_never_written_or_hidden_by_one_before_it() -> None:
    used = set()
    for reason in EVERY:
        used.add(next((pattern for pattern, _, _ in REASONS if re.fullmatch(pattern, reason)), None))
    assert {pattern for pattern, _, _ in REASONS} - used == set()


@pytest.mark.parametrize(
    ("status", "word"),
    [(0xA702, "resources"), (0x0122, "kind"), (0xC123, "understand"), (0x4321, "no words")],
)
def test_a_status_is_explained(status: int, word: str) -> None:
    assert word in status_explained(status)[0]


def test_what_no_version_writes_is_not_explained() -> None:
    assert explained("something else entirely") is None
