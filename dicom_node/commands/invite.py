"""Make the link by which somebody comes in to the pages, once, and sets a password.

For a name that somebody has already it is a new password, and the role counts from its use on. Without a name whoever
opens the link chooses one. It holds for a day. Hand it over yourself: who has it comes in.

This is also the way back where nobody can log in any more: dicom-node invite --role administrator

Until there is an administrator no other machine reaches the pages, and neither does the one around a container. There
--ask takes the password here instead, and the pages open at the next start.
"""

import argparse
import getpass
import sys
import time

from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, settings_of
from dicom_node.web import links, passwords
from storage import audit, people
from storage.folder import DataFolder
from storage.people import Role
from storage.steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `invite` takes."""
    parser.add_argument("name", nargs="?", type=_name, metavar="NAME", help="for whom (default: they choose)")
    parser.add_argument("--role", required=True, choices=[str(role) for role in Role], help="as what")
    parser.add_argument("--ask", action="store_true", help="ask for NAME's password here, and print no link")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the link, or ask for the password; exit status 1 where it is not to be taken."""
    settings = settings_of(arguments)
    folder = DataFolder.existing(settings.node.data_dir)
    now, role, name = time.time(), Role(arguments.role), arguments.name
    password = ""
    if arguments.ask:
        password, fault = _asked(name)
        if fault is not None:
            print(f"dicom-node: the password {fault}", file=sys.stderr)
            return 1
    with folder.database.write(Step.BY_HAND) as connection:
        has_administrator = people.has_administrator(connection)
        secret = people.invite(connection, role, name, now, links.INVITATION_SECONDS)
        audit.append(connection, now, "person_invited", user=person(), person=name or "", role=role)
        if password:
            people.accept(connection, secret, name, passwords.hashed(password), now)
            audit.append(connection, now, "person_accepted", user=name, role=role, address="")
    if password:
        print(
            f"{name} can log in" + ("" if has_administrator else "; start the node again to open its pages")
        )
        return 0
    host = links.host_of(settings.web, has_administrator=has_administrator)
    print(links.invitation(links.url_of(settings.web, host, settings.web.port), secret))
    if not settings.web.port:
        print("dicom-node: put the port there that the node named at its start", file=sys.stderr)
    return 0


def _asked(name: str | None) -> tuple[str, str | None]:
    """Return the password that somebody types twice, and why it is not to be taken, or None."""
    if name is None:
        return "", "needs a NAME that it is for"
    password = getpass.getpass(f"Password of {name}: ")
    again = getpass.getpass("The same again: ")
    return password, passwords.fault_of(password, name) if password == again else "was not the same twice"


def _name(written: str) -> str:
    name = written.lower()
    if not links.NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(links.NAME_RULE)
    return name
