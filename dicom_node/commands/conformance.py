"""Write the node's DICOM conformance statement (PS3.2), as it is set, as Markdown.

dicom-node conformance --config /etc/dicom-node/node.toml > conformance.md
"""

import argparse

from dicom_node.commands.options import add_config, settings_of
from dicom_node.conformance import statement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `conformance` takes."""
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    print(statement(settings_of(arguments)), end="")
    return 0
