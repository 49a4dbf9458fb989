"""Bytes from the network, broken in ways that nobody thought of, for whatever reads them.

A target is a function of bytes that returns, or raises one of the room's own exceptions; anything else is a crash.
Inputs are made of good ones (`tests.builders`) by a generator of random changes: bits, bytes, lengths that lie, pieces
cut out, repeated, or swapped between two inputs. The same seed gives the same inputs. What crashes or does not end is
written to a file, by which it can be tried again.
"""

import hashlib
import random
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

Case = Callable[[bytes], None]

LYING_LENGTHS = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFE,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0xFFFFFFF0,
    0xFFFFFFFF,
)
TAGS = (
    0x00080005,
    0x00080018,
    0x0020000D,
    0x0020000E,
    0x00280010,
    0x7FE00010,
    0xFFFEE000,
    0xFFFEE00D,
    0xFFFEE0DD,
)
WORDS = (
    b"SQ",
    b"UN",
    b"OB",
    b"UI",
    b"PN",
    b"\xff\xff\xff\xff",
    b"\\",
    b"/../",
    b"\0",
    b"\x1b$B",
    b"ISO 2022 IR 87",
    b"1.2.3",
)
LONGEST_CASE = 200_000  # bytes
HANG_SECONDS = 30  # ten times what the slowest takes on a quiet machine


class Hang(BaseException):
    """A case that did not end; no `except Exception` takes it."""


@dataclass(slots=True)
class Tally:
    """What became of the cases of a target."""

    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """`case` is tried with changes of `seeds`; `refusals` are the exceptions that are an answer."""

    name: str
    case: Case
    seeds: tuple[bytes, ...]
    refusals: tuple[type[Exception], ...] = ()


def changed(seed: bytes, other: bytes, dice: random.Random) -> bytes:
    """Make one input of two good ones."""
    made = bytearray(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5, 9))):
        if not made:
            made += dice.randbytes(8)
        dice.choice(_CHANGES)(made, other, dice)
    return bytes(made[:LONGEST_CASE])


def cases(seeds: tuple[bytes, ...], seed: int) -> Iterator[bytes]:
    """Give inputs without end, the good ones first."""
    yield from seeds
    dice = random.Random(seed)
    while True:
        yield changed(dice.choice(seeds), dice.choice(seeds), dice)


def fuzz(target: Target, count: int, seed: int, crashes: Path, tally: Tally | None = None) -> Tally:
    """Try `count` cases and return what became of them; what is wrong goes to files in the folder `crashes`."""
    tally = tally or Tally()
    signal.signal(signal.SIGALRM, _hang)
    for content in islice(cases(target.seeds, seed), count):
        started = time.perf_counter()
        signal.alarm(HANG_SECONDS)
        try:
            target.case(content)
        except target.refusals:
            tally.refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is: that is what is looked for
            _keep(target, content, f"{type(error).__name__}: {error}", crashes, tally)
        except Hang:
            _keep(target, content, f"hang of {HANG_SECONDS} seconds", crashes, tally)
        finally:
            signal.alarm(0)
        took = time.perf_counter() - started
        tally.cases += 1
        tally.seconds += took
        tally.slowest = max(tally.slowest, took)
    return tally


def memory_megabytes() -> float:
    """How much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _hang(_signal: int, _frame: object) -> None:
    raise Hang


def _keep(target: Target, content: bytes, what: str, crashes: Path, tally: Tally) -> None:
    crashes.mkdir(parents=True, exist_ok=True)
    path = crashes / f"{target.name}-{hashlib.sha256(content).hexdigest()[:16]}"
    path.write_bytes(content)
    tally.crashes.append(f"{path.name}: {what[:200]}")


def _place(made: bytearray, dice: random.Random) -> int:
    """Where to change something: headers and lengths stand at the start."""
    return dice.randrange(min(len(made), dice.choice((64, 1000, 4000, len(made)))))


def _flip(made: bytearray, _other: bytes, dice: random.Random) -> None:
    made[_place(made, dice)] ^= 1 << dice.randrange(8)


def _byte(made: bytearray, _other: bytes, dice: random.Random) -> None:
    made[_place(made, dice)] = dice.choice((0, 0xFF, 0x7F, 0x20, dice.randrange(256)))


def _number(made: bytearray, _other: bytes, dice: random.Random) -> None:
    """A length, count or value that lies, in either byte order."""
    order, kind = dice.choice("<>"), dice.choice("BHHLLL")
    value = dice.choice(LYING_LENGTHS) & ((1 << 8 * struct.calcsize(kind)) - 1)
    at = _place(made, dice)
    made[at : at + struct.calcsize(kind)] = struct.pack(order + kind, value)


def _tag(made: bytearray, _other: bytes, dice: random.Random) -> None:
    tag = dice.choice(TAGS)
    at = _place(made, dice)
    made[at : at + 4] = struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _word(made: bytearray, _other: bytes, dice: random.Random) -> None:
    at, word = _place(made, dice), dice.choice(WORDS)
    made[at : at + dice.choice((0, len(word)))] = word


def _cut(made: bytearray, _other: bytes, dice: random.Random) -> None:
    at = _place(made, dice)
    del made[at : at + dice.choice((1, 2, 4, 8, 100, len(made)))]


def _repeat(made: bytearray, _other: bytes, dice: random.Random) -> None:
    at = _place(made, dice)
    piece = made[at : at + dice.choice((1, 4, 8, 16, 64))]
    made[at:at] = piece * dice.choice((1, 2, 10, 100, 1000))


def _swap(made: bytearray, other: bytes, dice: random.Random) -> None:
    at, length = _place(made, dice), dice.choice((4, 16, 64, 256))
    start = dice.randrange(len(other) or 1)
    made[at : at + dice.choice((0, length))] = other[start : start + length]


_CHANGES = (_flip, _byte, _number, _number, _tag, _word, _cut, _repeat, _swap)
