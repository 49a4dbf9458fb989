"""The JSON interface keeps to its own description, whatever it is asked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import NodeProcess
from tests.web.conftest import PASSWORD, PEOPLE, let_in, pages_of
from tests.web.program import Program

# it ends the session in which the others are asked
LOGOUT = "/api/session"
EXAMPLES = 8
"""Of each operation, beside those at the borders of what is described."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that whatever is asked may harm."""
    with NodeProcess(tmp_path_factory.mktemp("node"), None, web="port = 0") as made:
        let_in(made)
        yield made


def test_its_description_is_there_for_who_integrates_it(own: NodeProcess) -> None:
    description = Program(pages_of(own), "vera", PASSWORD).ask("GET", "/api/openapi.json").json()
    assert description["openapi"].startswith("3.")
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], f"{method} {path} says nothing of itself"


@pytest.mark.parametrize("name", PEOPLE)
def test_whatever_it_is_asked_it_answers_as_it_says(own: NodeProcess, name: str, tmp_path: Path) -> None:
    token = Program(pages_of(own), name, PASSWORD).token
    ran = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "run", f"{pages_of(own)}/api/openapi.json"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--exclude-path", LOGOUT),
            *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
            *("--checks", "response_schema_conformance"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--no-color", "--warnings", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "thread_error" not in own.log
