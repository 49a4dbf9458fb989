"""What is promised of what is installed: known files alone, the same everywhere, under licences to live with."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from locks.licences import licence

REPOSITORY = Path(__file__).parents[2]
LOCKS = {path.name: path.read_text() for path in (REPOSITORY / "locks").glob("*.txt")}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENTRY = re.compile(r"(?ms)^([a-z0-9._-]+)==([^ ;]+)(.*?)(?=^\S|\Z)")
ACCEPTED = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|0BSD|Zlib|CC0|BSL|HPND")


def pins(*extras: str) -> list[Requirement]:
    wanted = [
        *PROJECT["dependencies"],
        *(each for extra in extras for each in PROJECT["optional-dependencies"][extra]),
    ]
    return [Requirement(each) for each in wanted if not each.startswith("dicom-node")]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("node.txt", ()),
        ("demo.txt", ("demo", "training")),
        ("test.txt", ("demo", "training", "openvino", "test")),
        ("openvino.txt", ("openvino",)),
    ],
)
def test_what_is_pinned_is_what_is_locked(lock: str, extras: tuple[str, ...]) -> None:
    beside = LOCKS["node.txt"] if lock == "openvino.txt" else ""
    locked = {name: version for name, version, _ in ENTRY.findall(beside + LOCKS[lock])}
    for pin in pins(*extras):
        assert f"=={locked[pin.name]}" == str(pin.specifier), "write locks/ again: make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_is_known_by_its_hash(lock: str) -> None:
    entries = ENTRY.findall(LOCKS[lock])
    assert entries
    for name, _, rest in entries:
        hashes = re.findall(r"--hash=(\S+)", rest)
        assert hashes, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), name


def test_nothing_that_the_node_needs_is_left_to_chance() -> None:
    """All that the installed distributions ask for, and what that asks for, is locked in the version that is here."""
    locked = {}
    for name, locked_version, _ in ENTRY.findall(LOCKS["test.txt"] + LOCKS["cuda.txt"]):
        locked.setdefault(name, set()).add(locked_version)
    seen, waiting = (
        set(),
        [(pin.name, frozenset(pin.extras)) for pin in pins("demo", "training", "openvino", "test")],
    )
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            here = version(name).partition("+")[0]
        except PackageNotFoundError:
            assert name in locked, name  # beside PyTorch's build for the CPU
            continue
        assert here in locked[name], f"{name} {here} is not locked: install by install.py, or make lock"
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append((needed.name, frozenset(needed.extras)))
    assert len(seen) > 50


def test_the_licence_of_everything_is_listed_and_can_be_taken() -> None:
    listed = dict(
        re.findall(r"(?m)^\| (\S+) \| \d\S* \| (.+) \|$", (REPOSITORY / "docs" / "licences.md").read_text())
    )
    for name, locked_version, _ in ENTRY.findall(LOCKS["node.txt"]):
        try:
            here = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
        if here == locked_version:
            assert listed[name] == licence(name), "write docs/licences.md again: make lock"
    for name, stated in listed.items():
        assert ACCEPTED.search(stated), name
        assert "GPL" not in stated, name
