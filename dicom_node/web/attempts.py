"""How often somebody may try a password: whoever is wrong often has to wait, longer each time.

Wrong passwords are counted by address and by name. By name the wait stays short: else a stranger who types the
radiologist's name would keep the radiologist out. And where somebody came in before, they are counted by name and
address together and wait for nobody else's mistakes (as OWASP's device cookies do, with the address in their place).

A try counts as wrong from its beginning, so that many at once are no more than many after each other.
"""

import threading
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

FREE = 5
"""So many wrong ones cost nothing: people mistype."""
FIRST_SECONDS = 2.0
LONGEST_SECONDS = 900.0
LONGEST_SECONDS_OF_NAME = 30.0
"""Some 3,000 passwords a day, of all addresses together."""
MOST_KEPT = 10_000

Key = tuple[str, str]
"""A name and an address; the empty one stands for any."""


class Attempts:
    """Counts passwords that are tried. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[Key, tuple[int, float]] = {}
        self._came_in: dict[Key, None] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, address: str) -> float:
        """Count a password that is about to be tried; returns for how many seconds none may be, and counts nothing
        then; 0: now.
        """
        now = self._clock()
        with self._lock:
            keys = self._keys(name, address)
            wait = max(self._free_at(key) for key in keys) - now
            if wait > 0:
                return wait
            for key in keys:
                many, _ = self._wrong.pop(key, (0, 0.0))
                self._wrong[key] = many + 1, now
            _shorten(self._wrong)
            return 0.0

    def was_right(self, name: str, address: str) -> None:
        """Take the last one back: it was right. What others did at this address still counts."""
        with self._lock:
            for key in self._keys(name, address):
                many, last = self._wrong.pop(key, (0, 0.0))
                if many > 1 and not key[0]:
                    self._wrong[key] = many - 1, last
            self._came_in[name, _place(address)] = None
            _shorten(self._came_in)

    def _keys(self, name: str, address: str) -> tuple[Key, ...]:
        place = _place(address)
        return ((name, place),) if (name, place) in self._came_in else (("", place), (name, ""))

    def _free_at(self, key: Key) -> float:
        many, last = self._wrong.get(key, (0, 0.0))
        if many < FREE:
            return 0.0
        longest = LONGEST_SECONDS if key[1] else LONGEST_SECONDS_OF_NAME
        return last + min(longest, FIRST_SECONDS * 2.0 ** min(many - FREE, 20))


def _place(address: str) -> str:
    """Return what one machine cannot change at will: of an IPv6 address the network (RFC 4291, 64 bits)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address


def _shorten(kept: dict[Key, Any]) -> None:
    """Forget the oldest."""
    while len(kept) > MOST_KEPT:
        del kept[next(iter(kept))]
