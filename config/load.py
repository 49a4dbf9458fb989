"""Reads the settings file, and says everything that is wrong with it at once."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import Fault, SettingsFault
from config.faults import faults_in
from config.settings import Settings

FILE_NAME = "node.toml"
PACKAGED_SETTINGS = Path(__file__).with_name(FILE_NAME)
SERVICE_SETTINGS = Path("/etc/dicom-node") / FILE_NAME


def load_settings(path: Path | None = None) -> Settings:
    """Read a settings file.

    Parameters
    ----------
    path
        The file; None for `find_settings`.

    Returns
    -------
    Settings
        With absolute paths: a relative path in the file starts at the file's folder; in the packaged file it
        starts at the current folder, since an upgrade replaces the package's.

    Raises
    ------
    SettingsFault
        When the file cannot be read or anything in it is wrong; it names every fault.
    """
    file = path or find_settings()
    return check_settings(read_document(content_of(file), file), file)


def find_settings() -> Path:
    """Find the settings file of a command that was given none.

    It is ``node.toml`` in the current folder, else the service's in ``/etc/dicom-node``, else the packaged one.
    """
    for file in (Path.cwd() / FILE_NAME, SERVICE_SETTINGS):
        if file.is_file():
            return file
    return PACKAGED_SETTINGS


def check_settings(document: Mapping[str, Any], file: Path) -> Settings:
    """Check a settings document that lies, or shall lie, in `file`.

    Raises
    ------
    SettingsFault
        When anything in it is wrong; it names every fault.
    """
    folder = Path.cwd() if file.resolve() == PACKAGED_SETTINGS.resolve() else file.resolve().parent
    try:
        return Settings.model_validate(document, context={"folder": folder})
    except ValidationError as error:
        raise SettingsFault(file, faults_in(document, error)) from None


def read_document(content: bytes, file: Path) -> dict[str, Any]:
    """Read TOML that lies, or shall lie, in `file`. Raises SettingsFault."""
    try:
        text = content.decode("utf-8-sig")  # editors on Windows put a byte order mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sentence = "must be saved as UTF-8; there is a character here in another encoding"
        raise SettingsFault(file, [Fault(f"line {line}", sentence)]) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsFault(file, [_syntax_fault(str(error))]) from None


def content_of(file: Path) -> bytes:
    """Read a settings file's bytes. Raises SettingsFault."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsFault(file, [Fault("", f"cannot be read: {error.strerror}")]) from None


def _syntax_fault(message: str) -> Fault:
    """Split the reader's "What is wrong (at line 3, column 5)"."""
    match = re.fullmatch(r"(?s)(.*) \(at (line \d+, column \d+|end of document)\)", message)
    what, where = match.groups() if match else (message, "")
    return Fault(where, f"is not TOML: {what}")
