"""Ports for peers: not one that another worker of the tests is about to take, nor one that the kernel gives away."""

import itertools
import os
import socket

FIRST, OF_A_WORKER = 10_240, 2_800
"""Below 32768, from where Linux takes the ports of outgoing connections; room for eight workers."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_numbers = itertools.cycle(range(FIRST + _worker * OF_A_WORKER, FIRST + (_worker + 1) * OF_A_WORKER))


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    while True:
        number = next(_numbers)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number


def listens(port: int) -> bool:
    """Tell whether somebody listens on a TCP port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
