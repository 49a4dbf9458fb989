"""Other work on the machine, as hard as a process can."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Have so many processes compute nothing, without a pause."""
    spinning = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for each in spinning:
        each.start()
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.join()


def _spin() -> None:
    while True:
        pass
