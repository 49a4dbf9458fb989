"""The settings file as pages change it: never half-written, never over another's change, never without a way back.

The version that was in force before lies beside the file, under its name with ``.previous``; going back to it makes
the one that was in force the previous one.
"""

import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from config.errors import NotWritten
from config.load import PACKAGED_SETTINGS, check_settings, content_of, read_document
from config.settings import Settings

_writing = threading.Lock()


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A settings file as it was read."""

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file, following links to where it is. Raises SettingsFault."""
        return cls(path, content_of(path))

    @property
    def text(self) -> str:
        """What stands in it. Raises SettingsFault."""
        read_document(self.content, self.path)
        return self.content.decode("utf-8-sig")

    @property
    def digest(self) -> str:
        """Tells this version from every other."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def previous(self) -> Path:
        """Where the version before this one lies, if there is one."""
        file = self.path.resolve()
        return file.with_name(f"{file.name}.previous")

    def settings(self) -> Settings:
        """Return what it says. Raises SettingsFault, which names every fault."""
        return check_settings(read_document(self.content, self.path), self.path)

    def changed(self, text: str) -> Self:
        """Return the file as it would be with this text."""
        mark = b"\xef\xbb\xbf" if self.content.startswith(b"\xef\xbb\xbf") else b""
        return type(self)(self.path, mark + text.encode())

    def earlier(self) -> Self | None:
        """Return the version before this one, or None where none is kept."""
        try:
            return type(self)(self.path, self.previous.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotWritten(f"{self.previous} cannot be read: {error.strerror}") from error

    def replace(self, new: Self) -> Settings:
        """Put `new` in the place of this version, which is kept as the previous one; return what it says.

        Raises
        ------
        SettingsFault
            `new` has faults, all of which are named.
        NotWritten
            The file is no longer this version, or cannot be written.
        """
        settings = new.settings()
        file = self.path.resolve()
        if file == PACKAGED_SETTINGS.resolve():
            raise NotWritten(
                "these are the settings inside the package, which the next upgrade replaces: copy "
                f"{file} to /etc/dicom-node/node.toml, change what is needed, and start the node with that"
            )
        with _writing:
            if content_of(file) != self.content:
                raise NotWritten(
                    "the file was changed by somebody else in the meantime, and is left as it is now: "
                    "look at it again, and make the change anew"
                )
            try:
                _write(self.previous, self.content, file)
                _write(file, new.content, file)
            except OSError as error:
                raise NotWritten(
                    f"{file} cannot be replaced ({error.strerror}): the user that the node runs as must own it and be "
                    f"allowed to write to its folder (chown {os.geteuid()} {file.parent} {file}; in a container, mount "
                    "the folder and not the file, and not read-only)"
                ) from error
        return settings


def _write(file: Path, content: bytes, like: Path) -> None:
    """Write a file as a whole or not at all, with the owner and the mode of `like`."""
    as_before = like.stat()
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(content)
            made.flush()
            os.fchmod(handle, as_before.st_mode & 0o7777)
            if (os.geteuid(), os.getegid()) != (as_before.st_uid, as_before.st_gid):
                os.fchown(handle, as_before.st_uid, as_before.st_gid)
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
