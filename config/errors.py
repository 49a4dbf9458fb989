"""What can go wrong in this room.

ConfigError
├── SettingsFault       stop: the settings file cannot be used; every fault in it is named
└── NotWritten          reject: the settings file stays as it is; the text names why and what to mend
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that an administrator has to mend in the settings file.

    Attributes
    ----------
    setting
        Where it is: ``destinations[1].port``, or ``line 3, column 5`` where the file is not TOML at all,
        or empty where it is the file itself.
    sentence
        What is allowed there, and what was found. Never the value of a setting that is not known, since it
        may be a secret.
    """

    setting: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.sentence}" if self.setting else self.sentence


class ConfigError(Exception):
    """The room's root."""


class SettingsFault(ConfigError):
    """The settings file at `path` cannot be used; `faults` names everything that is wrong with it.

    Printed, it is one line for each fault, and each line stands for itself.
    """

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(f"{path}: {fault}" for fault in faults))
        self.path = path
        self.faults = tuple(faults)


class NotWritten(ConfigError):
    """The settings file was not changed; the text says why, and what an administrator does about it."""
