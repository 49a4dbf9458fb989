"""A command that only looks is there at once: it imports what it needs, and waits for no disk."""

import os
import subprocess
import sys

import pytest

from storage.folder import DataFolder

SLOW = {
    "PIL",
    "alembic",
    "apscheduler",
    "highdicom",
    "numpy",
    "onnxruntime",
    "pydantic",
    "pydicom",
    "pynetdicom",
    "rich",
    "sqlalchemy",
    "structlog",
    "torch",
}


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["status", "--json"], {"pydantic", "rich", "sqlalchemy"}),
        (["jobs"], {"pydantic", "rich", "sqlalchemy"}),
    ],
)
def test_a_command_imports_what_it_needs(folder: DataFolder, words: list[str], needs: set[str]) -> None:
    settings = folder.folder / "node.toml"
    settings.write_text(f'[node]\ndata_dir = "{folder.folder}"\n', encoding="utf-8")
    config = [] if words[0].startswith("-") else ["--config", str(settings)]
    code = (
        "import sys; from dicom_node.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print(*sorted({SLOW!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *config], capture_output=True, text=True, check=True
    )
    assert set(done.stderr.split()) == needs


def test_who_looks_waits_for_no_disk(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    looked_at = DataFolder.existing(folder.folder)
    with looked_at.database.read():
        pass
    looked_at.close()
    assert synced == []
    DataFolder(folder.folder).close()
    assert synced != []
