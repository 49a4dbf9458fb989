"""Unique identifiers that are the same whenever the same thing is made again.

A UID is `2.25.` and a UUID (PS3.5 B.2) cut out of a SHA-256, so no registered root is needed, and a result that is
built twice (after a crash, say) is one object for every archive.
"""

import hashlib
from collections.abc import Iterable

from pydicom.uid import UID

from inference.card import ModelCard


def derived_uid(*parts: str) -> UID:
    """The UID of what `parts` name; a name-based UUID in all but its version's hash function (RFC 9562, version 8)."""
    digest = bytearray(hashlib.sha256("\n".join(parts).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UID(f"2.25.{int.from_bytes(digest, 'big')}")


def device_uid(card: ModelCard) -> UID:
    """The Device UID (0018,1002) of this model: a retrained one is another device, as IHE AI Results wants it."""
    return derived_uid("device", card.name, card.version, card.sha256)


def result_uid(study: str, sources: Iterable[str], device: UID, kind: str, revision: int) -> UID:
    """The UID of one `kind` of object made from the images `sources` (in any order) of a study.

    An image can be moved to another study, where its first report is another object than the one that it had before.
    """
    return derived_uid("result", study, *sorted(sources), device, kind, str(revision))
