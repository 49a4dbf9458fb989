"""Passwords as they are kept: hashed by argon2id with the library's parameters (RFC 9106, the second choice)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
"""Characters. A long one is all that is asked for (NIST SP 800-63B section 3.1.1) ..."""
COMMON = (
    *("password", "passwort", "radiolog", "hospital", "pneumonia", "dicom", "admin", "welcome", "letmein"),
    *("123456789", "123456", "12345", "1234", "qwerty", "qwertz", "asdf", "abcdef", "abc"),
)
LEAST_OF_ITS_OWN = 6
"""... and that so many different characters of it are neither the name nor one of these."""

AT_ONCE, WAITING = 2, 8
"""Each takes 64 MiB and a core. Who waits has a thread of the pages, of which there are 40."""

_hasher = PasswordHasher()
_at_once = threading.BoundedSemaphore(AT_ONCE)
_waiting = threading.BoundedSemaphore(AT_ONCE + WAITING)
_nobodys = _hasher.hash("nobody has this password")


class TooManyAtOnce(Exception):
    """So many passwords are being checked that the pages would stand still; in a second there is room again."""


def hashed(password: str) -> str:
    """Return what is kept of a password. Raises TooManyAtOnce."""
    with _in_line():
        return _hasher.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Tell whether this is the password; None: nobody has that name, which takes as long to find out.

    Raises TooManyAtOnce.
    """
    with _in_line():
        try:
            return _hasher.verify(kept or _nobodys, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def fault_of(password: str, name: str) -> str | None:
    """Say in a sentence why a password is not to be taken, or None."""
    if len(password) < SHORTEST:
        return f"must have at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"must have at most {LONGEST} characters"
    own = password.casefold()
    for known in (name.casefold(), *COMMON):
        own = own.replace(known, "") if len(known) > 2 else own
    if len(set(own)) < LEAST_OF_ITS_OWN:
        return "is too easily guessed"
    return None


@contextmanager
def _in_line() -> Iterator[None]:
    if not _waiting.acquire(blocking=False):
        raise TooManyAtOnce
    try:
        with _at_once:
            yield
    finally:
        _waiting.release()
