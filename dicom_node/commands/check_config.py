"""Check a settings file.

Every fault is named at once, by its path and what is allowed there; exit status 2 if there are any.
"""

import argparse
from pathlib import Path

from config.load import find_settings, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `check-config` takes."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="settings file (default: node.toml here, else /etc/dicom-node/node.toml, else the packaged one)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Load the settings; faults leave as SettingsFault."""
    file = arguments.file or find_settings()
    settings = load_settings(file)
    print(f"settings: {file}")
    receiver = settings.receiver
    print(
        f"{settings.node.ae_title} receives on {receiver.host} port {receiver.port}; data in {settings.node.data_dir}"
    )
    for source in settings.sources:
        print(f"source {source.name}: {source.ae_title} from {', '.join(str(host) for host in source.hosts)}")
    for destination in settings.destinations:
        print(
            f"destination {destination.name}: {destination.ae_title} at {destination.host} port {destination.port}"
        )
    for web in settings.web_destinations:
        print(f"destination {web.name}: STOW-RS to {web.url}")
    if receiver.require_known_source and not settings.sources:
        print("note: there is no source, and unknown ones are refused, so nobody can send")
    for to in settings.hl7:
        print(f"destination {to.name}: HL7 messages to {to.host} port {to.port}")
    if not settings.all_destinations and not settings.hl7:
        print("note: there is no destination, so results stay here")
    print("no faults")
    return 0
