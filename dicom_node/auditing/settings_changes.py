"""Which settings are others than at the last start: named by their paths, never by their values."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from config.settings import Settings


def fingerprints(settings: Settings) -> dict[str, str]:
    """Return the beginning of each setting's SHA-256 by its path, such as ``destinations[1].port``."""
    return {
        path: hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
        for path, value in _leaves("", settings.model_dump(mode="json"))
    }


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths of the settings that were changed, added or taken away."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _leaves(path: str, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, part)
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for place, part in enumerate(value):
            yield from _leaves(f"{path}[{place}]", part)
    else:
        yield path, value
