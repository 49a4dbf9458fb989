"""The documents name every command, and no other; their links lead somewhere; their figures are the measured ones."""

import re
from pathlib import Path

import pytest

from benchmarks import document as benchmark_document
from dicom_node.cli import COMMANDS
from inference.card import SHIPPED
from inference.evaluation.document import filled
from inference.evaluation.document_figures import load_measured

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
DOCUMENTS = [README, *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_every_command_is_in_the_table_and_no_other() -> None:
    table = re.findall(r"^\| `dicom-node ([a-z-]+)`", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(table) == set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
class TestEachDocument:
    def test_no_command_is_named_that_does_not_exist(self, document: Path) -> None:
        assert set(re.findall(r"dicom-node ([a-z-]+)", document.read_text(encoding="utf-8"))) <= set(COMMANDS)

    def test_links_lead_somewhere(self, document: Path) -> None:
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
            assert link.startswith("http") or (document.parent / link.partition("#")[0]).exists(), link

    def test_its_figures_are_those_of_the_shipped_model(self, document: Path) -> None:
        assert filled(document, load_measured(SHIPPED)) == document.read_text(encoding="utf-8"), (
            "run make docs"
        )

    def test_no_sentence_is_broken_by_a_mark(self, document: Path) -> None:
        """A comment at the beginning of a line ends the paragraph in Markdown."""
        text = document.read_text(encoding="utf-8")
        assert not re.findall(r"^ *<!-- figures: [a-z ]+ -->[^\n]+", text, re.MULTILINE)

    def test_no_figure_stands_outside_of_its_marks(self, document: Path) -> None:
        prose = re.sub(
            r"<!-- (?:figures|benchmark):.*?<!-- end -->|```.*?```|`[^`]*`",
            "",
            document.read_text("utf-8"),
            flags=re.DOTALL,
        )
        assert not re.findall(r"0\.\d{3}(?!\.\d)|\d\.\d %", prose)


@pytest.mark.parametrize("document", [REPOSITORY / "README.md", REPOSITORY / "docs" / "scaling.md"])
def test_benchmarks_are_quoted_as_they_are_recorded(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert "<!-- benchmark: " in text
    assert benchmark_document.filled(text) == text
