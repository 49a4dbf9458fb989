"""Films whose bytes are those that came: each is read as a whole to know it, and not again a moment later."""

import time
from pathlib import Path

from storage.objects import ObjectStore

CHECKED_SECONDS = 30.0
"""A film that was checked for its analysis needs no second look for the report that follows."""


class CheckedFilms:
    """The films of a store. Not for several threads at once."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._checked: dict[str, float] = {}
        """When each was (time.monotonic), by key."""

    def path(self, key: str) -> Path:
        """Return where a film lies.

        Raises
        ------
        ObjectMissing
            It is not there, or its bytes are not its own; StorageUnavailable where they cannot be read now.
        """
        now = time.monotonic()
        self._checked = {each: at for each, at in self._checked.items() if now - at < CHECKED_SECONDS}
        if key in self._checked and self._objects.holds(key):
            return self._objects.path(key)
        path = self._objects.require(key)
        self._checked[key] = now
        return path
