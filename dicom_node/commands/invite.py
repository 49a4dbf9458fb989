"""Make the link by which somebody comes in to the pages, once, and sets a password.

For a name that somebody has already it is a new password, and the role counts from its use on. Without a name whoever
opens the link chooses one. It holds for a day. Hand it over yourself: who has it comes in.

This is also the way back where nobody can log in any more: dicom-node invite --role administrator
"""

import argparse
import sys
import time

from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, settings_of
from dicom_node.web import links
from storage import audit, people
from storage.folder import DataFolder
from storage.people import Role
from storage.steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `invite` takes."""
    parser.add_argument("name", nargs="?", type=_name, metavar="NAME", help="for whom (default: they choose)")
    parser.add_argument("--role", required=True, choices=[str(role) for role in Role], help="as what")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the link."""
    settings = settings_of(arguments)
    folder = DataFolder.existing(settings.node.data_dir)
    now, role = time.time(), Role(arguments.role)
    with folder.database.write(Step.BY_HAND) as connection:
        has_administrator = people.has_administrator(connection)
        secret = people.invite(connection, role, arguments.name, now, links.INVITATION_SECONDS)
        audit.append(connection, now, "person_invited", user=person(), person=arguments.name or "", role=role)
    host = links.host_of(settings.web, has_administrator=has_administrator)
    print(links.invitation(links.url_of(settings.web, host, settings.web.port), secret))
    if not settings.web.port:
        print("dicom-node: put the port there that the node named at its start", file=sys.stderr)
    return 0


def _name(written: str) -> str:
    name = written.lower()
    if not links.NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(links.NAME_RULE)
    return name
