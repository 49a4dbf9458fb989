"""Passwords as they are kept: hashed by argon2id with the library's parameters (RFC 9106, the second choice)."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
"""Characters. A long one is all that is asked for (NIST SP 800-63B)."""

_hasher = PasswordHasher()
_at_once = threading.BoundedSemaphore(2)
"""Each takes 64 MiB and a core: who tries many at once waits."""
_nobodys = _hasher.hash("nobody has this password")


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    with _at_once:
        return _hasher.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Tell whether this is the password; None: nobody has that name, which takes as long to find out."""
    with _at_once:
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
    if name.casefold() in password.casefold() or len(set(password)) < 4:
        return "is too easily guessed"
    return None
