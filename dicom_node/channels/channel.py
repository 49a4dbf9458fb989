"""What every channel promises."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the result.

    Parameters
    ----------
    status
        The DIMSE status, 0x0000 or a warning; None where the protocol has none.
    sent_sop_instance_uid
        The UID that it went under, where another form of it was sent because the destination refused the first one.
    awaits_commitment
        The destination is still to promise that it keeps the result.
    """

    status: int | None = None
    sent_sop_instance_uid: str | None = None
    awaits_commitment: bool = False


class Channel(Protocol):
    """A way to one destination; used by one thread, and kept open between two results."""

    def send(self, content: bytes) -> Delivered:
        """Send one result, the same bytes however often it is sent.

        Raises
        ------
        PeerUnreachable, AccessRefused
            The destination takes nothing now: no other result is tried before it can be reached again.
        TransferFailed
            Whether it arrived is not known, or the destination cannot take it now.
        ResultRefused
            The destination will not take this result: a person has to look.
        """

    def close(self) -> None:
        """End the connection politely."""
