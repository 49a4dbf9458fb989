"""The sockets under pynetdicom, held to a time and a size.

pynetdicom 3.0.4 reads a PDU of whatever length its header announces into memory, and waits for its last byte without
a time-out: a peer that stops in the middle would hold a connection and two threads for ever, and so would a modality
that is switched off. Both are mended where a connection opens (EVT_CONN_OPEN), on either side.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterable

from pynetdicom import evt
from pynetdicom.association import Association

LONGEST_PDU = 1024 * 1024
"""Bytes; peers send up to the 128 KiB that we announce, and association requests are smaller still."""
CLOSE_SECONDS = 5.0


def bound(event: evt.Event, seconds: float) -> None:
    """End a connection whose peer is silent for `seconds` in the middle of a PDU, or announces too long a one."""
    connection = event.assoc.dul.socket
    if connection is None or connection.socket is None:  # closed again already
        return
    connection.socket.settimeout(seconds)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    receive = connection.recv

    def receive_bounded(nr_bytes: int) -> bytearray:
        if nr_bytes > LONGEST_PDU:
            raise OSError(errno.EMSGSIZE, "PDU is too long")
        return receive(nr_bytes)

    connection.recv = receive_bounded  # type: ignore[method-assign]


def limit(event: evt.Event, most_bytes: int, exceeded: Callable[[], None]) -> None:
    """End a connection over which more than `most_bytes` came altogether, and call `exceeded`."""
    connection = event.assoc.dul.socket
    if connection is None:  # closed again already
        return
    receive = connection.recv
    received = 0

    def receive_limited(nr_bytes: int) -> bytearray:
        nonlocal received
        received += nr_bytes
        if received > most_bytes:
            exceeded()
            raise OSError(errno.EMSGSIZE, "too much data")
        return receive(nr_bytes)

    connection.recv = receive_limited  # type: ignore[method-assign]


def end(associations: Iterable[Association]) -> None:
    """Close the connections of these associations, and wait for their threads for a few seconds."""
    ending = list(associations)
    for association in ending:
        connection = association.dul.socket
        if connection is not None and connection.socket is not None:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:  # its peer was faster
                continue
    deadline = time.monotonic() + CLOSE_SECONDS
    for association in ending:
        # one that has asked for nothing yet waits for its request a little longer, and holds nothing
        association.join(max(0.0, deadline - time.monotonic()))
