"""Run the node until SIGTERM or ctrl-C; at SIGHUP it reads its settings again.

By default in all roles: it receives radiographs, analyses them and delivers the results. A role can also be a
process of its own (--role, repeated for several); the processes meet in the data folder.

When the port is open, one line on stderr says so; before and after it stand the logs, one JSON object a line.
What a killed node left unfinished is taken up again at the next start.
"""

import argparse
import signal
import sys

from config.errors import SettingsFault
from config.load import find_settings, load_settings
from dicom_node import logs
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config
from dicom_node.node import Node, Role
from storage.errors import StorageError

STOPPING = {signal.SIGTERM, signal.SIGINT}
READING_AGAIN = {signal.SIGHUP}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` takes."""
    add_config(parser)
    parser.add_argument(
        "--role",
        action="append",
        choices=[str(role) for role in Role],
        help="what this process does; may be repeated (default: everything)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal ends it."""
    file = arguments.config or find_settings()
    settings = load_settings(file)
    logs.configure(settings.logging)
    roles = frozenset(Role(role) for role in arguments.role or Role)
    # Blocked in every thread and taken here: a handler would run in this thread at a moment of Python's choosing,
    # which may be never while it waits for a lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING | READING_AGAIN)
    node = Node(settings, roles, file)
    node.start()
    listening = "" if node.address is None else f", listening on {node.address[0]} port {node.address[1]}"
    names = ", ".join(sorted(roles))
    print(f"dicom-node ready: {settings.node.ae_title}{listening} ({names})", file=sys.stderr, flush=True)
    if node.pages is not None:
        print(f"pages: {node.pages.url}", file=sys.stderr, flush=True)
        if node.pages.invitation is not None:
            print(
                "pages: on this machine alone until there is an administrator, who comes in once by "
                f"{node.pages.invitation}",
                file=sys.stderr,
                flush=True,
            )
    while signal.sigwait(STOPPING | READING_AGAIN) in READING_AGAIN:
        _read_again(node)
    node.stop()
    return 0


def _read_again(node: Node) -> None:
    try:
        node.live.read_again(user=person())
    except (SettingsFault, StorageError) as fault:
        print(f"{fault}\ndicom-node: the settings stay as they were", file=sys.stderr, flush=True)
    for setting in node.live.waiting_for_start:
        print(f"dicom-node: {setting} is taken at the next start", file=sys.stderr, flush=True)
