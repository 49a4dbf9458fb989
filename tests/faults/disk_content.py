"""What a disk holds: what a reader sees of each file and folder, and what of it a power cut leaves.

Strict, as POSIX has it and no more: content and size of a file last from its own fsync or fdatasync on, names (made,
renamed, removed) from the fsync of their folder on. A real disk keeps more than that, and nobody knows what: so there
is a second cut that keeps, of what was not synced, whatever its dice say, writes torn at sectors.
"""

import itertools
import os
import random
import stat
import time
from dataclasses import dataclass, field

BLOCK = 4096
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset."""

    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, dice: random.Random, kept: float) -> list["Write"]:
        """Return the sectors of it that got to the platter."""
        if dice.random() < kept:
            return [self]
        starts = range(0, len(self.data), SECTOR)
        return [
            Write(self.offset + start, self.data[start : start + SECTOR])
            for start in starts
            if dice.random() < kept / 2
        ]


@dataclass(frozen=True, slots=True)
class Cut:
    """A new size."""

    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))

    def torn(self, dice: random.Random, kept: float) -> list["Cut"]:
        return [self] if dice.random() < kept else []


_numbers = itertools.count(1)


@dataclass(eq=False, slots=True)
class Inode:
    """What files and folders have in common."""

    mode: int
    number: int = field(default_factory=lambda: next(_numbers))
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    accessed: int = field(default_factory=time.time_ns)
    changed: int = field(default_factory=time.time_ns)


@dataclass(eq=False, slots=True)
class File(Inode):
    """A file: `content` is read, `durable` lasts, `unsynced` is what lies between them."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[Write | Cut] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        return -(-len(self.content) // BLOCK)

    def change(self, change: Write | Cut) -> None:
        change.apply(self.content)
        self.unsynced.append(change)
        self.changed = time.time_ns()

    def sync(self) -> None:
        for change in self.unsynced:
            change.apply(self.durable)
        self.unsynced.clear()

    def lose(self, dice: random.Random | None, kept: float) -> None:
        for change in self.unsynced if dice else ():
            for part in change.torn(dice, kept):
                part.apply(self.durable)
        self.unsynced.clear()
        self.content = bytearray(self.durable)


@dataclass(eq=False, slots=True)
class Folder(Inode):
    """A folder: `names` are seen, those in `durable` last."""

    names: dict[str, Inode] = field(default_factory=dict)
    durable: dict[str, Inode] = field(default_factory=dict)

    def sync(self) -> None:
        self.durable = dict(self.names)

    def lose(self, dice: random.Random | None, kept: float) -> None:
        for name in sorted(self.names.keys() | self.durable.keys()) if dice else ():
            if self.names.get(name) is self.durable.get(name) or dice.random() >= kept:
                continue
            if name in self.names:
                self.durable[name] = self.names[name]
            else:
                del self.durable[name]
        self.names = dict(self.durable)


class Content:
    """Everything on a disk that holds `quota` bytes."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.root = Folder(stat.S_IFDIR | 0o755)

    def everything(self, folder: Folder | None = None) -> list[Inode]:
        """Return every file and folder, each once, though it may have two names after a cut."""
        found: dict[int, Inode] = {}
        waiting: list[Inode] = [folder or self.root]
        while waiting:
            inode = waiting.pop()
            if inode.number not in found:
                found[inode.number] = inode
                waiting += inode.names.values() if isinstance(inode, Folder) else ()
        return list(found.values())

    def lose_power(self, seed: int | None) -> None:
        """Drop what is not durable; with a seed, keep what its dice say."""
        dice = None if seed is None else random.Random(seed)
        kept = dice.random() if dice else 0.0
        for inode in self._known():
            inode.lose(dice, kept)

    def _known(self) -> list[File | Folder]:
        """Return what has a name, or had one that lasts."""
        found: dict[int, File | Folder] = {}
        waiting: list[Inode] = [self.root]
        while waiting:
            inode = waiting.pop()
            assert isinstance(inode, File | Folder)
            if inode.number not in found:
                found[inode.number] = inode
                if isinstance(inode, Folder):
                    waiting += [*inode.names.values(), *inode.durable.values()]
        return list(found.values())

    @property
    def used(self) -> int:
        return sum(each.blocks for each in self.everything() if isinstance(each, File)) * BLOCK
