"""Options that several commands share, and how they open what the settings name."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from config.load import load_settings
from config.settings import Settings
from storage import views
from storage.folder import DataFolder

COLUMNS_OF_A_FILE = 240


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add --config."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings file (default: node.toml here, else /etc/dicom-node/node.toml, else the packaged one)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def numbered(letters: str) -> Callable[[str], str]:
    """Return the check of an ID as `dicom-node jobs` writes it: one of these letters (j, d) and a number."""

    def check(written: str) -> str:
        if not re.fullmatch(rf"[{letters}][0-9]{{1,{views.LONGEST_NUMBER}}}", written):
            such = " or ".join(f"{letter}7" for letter in letters)
            raise argparse.ArgumentTypeError(
                f"must be an ID such as {such}, as `dicom-node jobs` has it: {written!r}"
            )
        return written

    return check


def console() -> Console:
    """Return where tables are printed: as wide as the terminal, and wide enough for grep where there is none."""
    return Console(width=None if sys.stdout.isatty() else COLUMNS_OF_A_FILE)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings that --config names. Raises SettingsFault."""
    return load_settings(arguments.config)


def open_existing_folder(arguments: argparse.Namespace) -> DataFolder:
    """Open the data folder of a node that has run before. Raises StorageUnavailable, DatabaseTooNew."""
    return DataFolder.existing(settings_of(arguments).node.data_dir)
