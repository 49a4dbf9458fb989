"""Who sits before the node, as the operating system knows them; and the audit trail of what they look at."""

import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

from storage import audit
from storage.errors import StorageError
from storage.folder import DataFolder
from storage.steps import Step

_NOBODY_LOGGED_IN = 2**32 - 1


def person() -> str:
    """Return who runs this command: who logged in, also where sudo has made them another user since (loginuid, which
    Linux lets nobody change); the process's own user where nobody did, as under systemd.
    """
    user = os.getuid()
    try:
        logged_in = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):  # not Linux, or without its audit subsystem
        logged_in = _NOBODY_LOGGED_IN
    return _name(user if logged_in == _NOBODY_LOGGED_IN else logged_in)


def note_look(folder: DataFolder, event: str, **detail: Any) -> None:
    """Write down that somebody looks. Where that cannot be done they are told, and see what they have to mend."""
    try:
        with folder.database.write(Step.BY_HAND) as connection:
            audit.append(connection, time.time(), event, user=person(), **detail)
    except StorageError as error:
        print(f"dicom-node: not in the audit trail: {error}", file=sys.stderr)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
