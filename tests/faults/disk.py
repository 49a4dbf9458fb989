"""A disk that a test may cut the power of, fill, break and make read-only: a file system in user space (FUSE).

    python -m tests.faults.disk FOLDER BYTES     mounts it there; asked by JSON lines (what `Disk` does)

It lives in a process of its own and in memory. Nothing is cached for writing by the kernel but what is mapped
(SQLite's -shm), so every write and fsync of a node is seen here in its order, and can be the one at which the node
is killed and the power goes. Locks are the kernel's own.

libfuse 3.14, mfusepy 3.1.1.
"""

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Self

import pytest

from tests.faults.disk_content import BLOCK, Content, Cut, File, Folder, Inode, Write
from tests.peers import wait_for

GIGABYTE = 1_000_000_000
ROOM = 64 * GIGABYTE


class Disk:
    """The disk, for a test: mounted at `folder` from `start` to `close`."""

    def __init__(self, folder: Path, quota: int = ROOM) -> None:
        if not Path("/dev/fuse").exists():
            pytest.skip("optional peer missing: /dev/fuse")
        self.folder = folder
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.disk", str(folder), str(quota)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"FUSE_LIBRARY_NAME": "fuse3"},
            text=True,
        )
        self._wait_until_mounted()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ask("close")
        self._unmount()
        self._process.communicate(timeout=60)

    def cut_power_at(self, number: int, process: int | None, *, count: str = "syncs") -> None:
        """Kill the process and cut the power instead of the so-manieth coming fsync ("syncs") or write ("writes")."""
        self._ask("cut_at", number=number, process=process, count=count)

    def cut_power(self, process: int) -> None:
        """Kill the process and cut the power now."""
        self._ask("cut_now", process=process)

    @property
    def is_off(self) -> bool:
        return bool(self._ask("state")["is_off"])

    @property
    def counts(self) -> dict[str, int]:
        """How many fsyncs and writes there were so far."""
        return dict(self._ask("state")["counts"])

    @property
    def used(self) -> int:
        return int(self._ask("state")["used"])

    def power_on(self, seed: int | None = None) -> None:
        """Drop what was not durable when the power went, and mount it again.

        With a seed a part of what was not synced is kept, as its dice say.
        """
        self._ask("drop", seed=seed)
        self._unmount()
        self._wait_until_mounted()

    def hold(self, quota: int) -> None:
        """Hold so many bytes from now on."""
        self._ask("hold", quota=quota)

    def leave(self, free: int) -> None:
        """Leave so many bytes of room from now on."""
        self.hold(self.used + free)

    def fail(self, error: int | None) -> None:
        """Answer every change with this error (EIO, EROFS); None: no more."""
        self._ask("fail", error=error)

    def _ask(self, command: str, **values: object) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"command": command, **values}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _unmount(self) -> None:
        subprocess.run(["fusermount3", "-u", "-z", str(self.folder)], check=True, capture_output=True)

    def _wait_until_mounted(self) -> None:
        def is_mounted() -> bool:
            assert self._process.poll() is None, "the disk's process has ended"
            return self.folder.is_mount()

        wait_for(is_mounted, 60, "the disk is not mounted")


class _FileSystem:
    """The operations that the kernel asks for; one at a time (`nothreads`), but for the control thread."""

    use_ns = True

    def __init__(self, quota: int) -> None:
        self.content = Content(quota)
        self.is_off = False
        self.error: int | None = None
        self.counts = {"syncs": 0, "writes": 0}
        self.cut: tuple[str, int, int | None] | None = None  # what is counted, at which number, whom to kill
        self.guard = threading.RLock()
        self._open: dict[int, File] = {}
        self._handles = iter(range(1, 2**31))

    def cut_power(self, process: int | None) -> None:
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.is_off = True
        self.cut = None

    # -- what is read

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        with self._powered():
            inode = self._open[fh] if fh in self._open else self._at(path)
            size, blocks = (len(inode.content), inode.blocks) if isinstance(inode, File) else (0, 0)
            return {
                "st_mode": inode.mode,
                "st_ino": inode.number,
                "st_nlink": 1 if isinstance(inode, File) else 2,
                "st_uid": inode.uid,
                "st_gid": inode.gid,
                "st_size": size,
                "st_blocks": blocks * BLOCK // 512,
                "st_atime": inode.accessed,
                "st_mtime": inode.changed,
                "st_ctime": inode.changed,
            }

    def readdir(self, path: str, _handle: int) -> list[tuple[str, dict[str, int], int]]:
        with self._powered():
            folder = self._folder(path)
            listed = {".": folder, "..": folder, **folder.names}
            return [(name, {"st_mode": each.mode, "st_ino": each.number}, 0) for name, each in listed.items()]

    def open(self, path: str, _flags: int) -> int:
        with self._powered():
            file = self._at(path)
            assert isinstance(file, File)
            return self._opened(file)

    def read(self, _path: str, size: int, offset: int, fh: int) -> bytes:
        with self._powered():
            return bytes(self._open[fh].content[offset : offset + size])

    def release(self, _path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        with self._powered():
            free = max(0, self.content.quota - self.content.used) // BLOCK
            total = self.content.quota // BLOCK
            sizes = {"f_bsize": BLOCK, "f_frsize": BLOCK, "f_blocks": total, "f_namemax": 255}
            return {**sizes, "f_bfree": free, "f_bavail": free, "f_files": 10**6, "f_ffree": 10**6}

    # -- what is changed

    def create(self, path: str, mode: int, _flags: object = None) -> int:
        with self._changing():
            if self.content.quota - self.content.used < BLOCK:
                raise OSError(errno.ENOSPC, "no room for a name")
            file = File(stat.S_IFREG | stat.S_IMODE(mode))
            self._put(path, file)
            return self._opened(file)

    def mkdir(self, path: str, mode: int) -> int:
        with self._changing():
            made = Folder(stat.S_IFDIR | stat.S_IMODE(mode))
            self._put(path, made)
            return 0

    def write(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        with self._changing("writes"):
            file = self._open[fh]
            self._require_room(file, offset + len(data))
            file.change(Write(offset, bytes(data)))
            return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._changing():
            file = self._open[fh] if fh in self._open else self._at(path)
            assert isinstance(file, File)
            self._require_room(file, length)
            file.change(Cut(length))
            return 0

    def unlink(self, path: str) -> int:
        with self._changing():
            self._take(path)
            return 0

    def rmdir(self, path: str) -> int:
        if self._folder(path).names:
            raise OSError(errno.ENOTEMPTY, "not empty")
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        with self._changing():
            self._put(new, self._take(old))
            return 0

    def fsync(self, _path: str, _datasync: int, fh: int) -> int:
        with self._changing("syncs"):
            self._open[fh].sync()
            return 0

    def fsyncdir(self, path: str, _datasync: int, _handle: int) -> int:
        with self._changing("syncs"):
            self._folder(path).sync()
            return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._changing():
            inode = self._at(path)
            inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)
            return 0

    def chown(self, _path: str, _uid: int, _gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        with self._changing():
            inode = self._at(path)
            inode.accessed, inode.changed = times or (time.time_ns(), time.time_ns())
            return 0

    # -- what they share

    @contextlib.contextmanager
    def _powered(self) -> Iterator[None]:
        with self.guard:
            if self.is_off:
                raise OSError(errno.EIO, "no power")
            yield

    @contextlib.contextmanager
    def _changing(self, count: str = "") -> Iterator[None]:
        with self._powered():
            if count:
                self.counts[count] += 1
            if self.cut and self.cut[0] == count and self.counts[count] >= self.cut[1]:
                self.cut_power(self.cut[2])
                raise OSError(errno.EIO, "no power")
            if self.error:
                raise OSError(self.error, os.strerror(self.error))
            yield

    def _at(self, path: str) -> Inode:
        inode: Inode = self.content.root
        for name in path.split("/"):
            if name:
                if not isinstance(inode, Folder) or name not in inode.names:
                    raise OSError(errno.ENOENT, "not found")
                inode = inode.names[name]
        return inode

    def _folder(self, path: str) -> Folder:
        found = self._at(path)
        if not isinstance(found, Folder):
            raise OSError(errno.ENOTDIR, "not a folder")
        return found

    def _put(self, path: str, inode: Inode) -> None:
        place = PurePosixPath(path)
        self._folder(str(place.parent)).names[place.name] = inode

    def _take(self, path: str) -> Inode:
        place = PurePosixPath(path)
        return self._folder(str(place.parent)).names.pop(place.name)

    def _opened(self, file: File) -> int:
        handle = next(self._handles)
        self._open[handle] = file
        return handle

    def _require_room(self, file: File, size: int) -> None:
        more = -(-size // BLOCK) - file.blocks
        if more > 0 and self.content.used + more * BLOCK > self.content.quota:
            raise OSError(errno.ENOSPC, "no room")


class _Server:
    """Mounts the file system again and again, and takes orders on stdin."""

    def __init__(self, folder: str, quota: int) -> None:
        self._folder = folder
        self._files = _FileSystem(quota)
        self._is_closing = False
        self._seed: int | None = None

    def run(self) -> None:
        import mfusepy

        threading.Thread(target=self._take_orders, daemon=True).start()
        while not self._is_closing:
            mfusepy.FUSE(self._files, self._folder, foreground=True, nothreads=True, use_ino=True)
            if self._files.is_off:
                self._files.content.lose_power(self._seed)
                self._files.is_off = False

    def _take_orders(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            with self._files.guard:
                answer = getattr(self, "_" + order.pop("command"))(**order)
            print(json.dumps(answer or {}), flush=True)
        os._exit(0)  # the test is gone

    def _state(self) -> dict[str, object]:
        files = self._files
        return {"is_off": files.is_off, "counts": files.counts, "used": files.content.used}

    def _cut_at(self, number: int, process: int | None, count: str) -> None:
        self._files.cut = (count, self._files.counts[count] + number, process)

    def _cut_now(self, process: int) -> None:
        self._files.cut_power(process)

    def _drop(self, seed: int | None) -> None:
        assert self._files.is_off
        self._seed = seed

    def _hold(self, quota: int) -> None:
        self._files.content.quota = quota

    def _fail(self, error: int | None) -> None:
        self._files.error = error

    def _close(self) -> None:
        self._is_closing = True


if __name__ == "__main__":
    _Server(sys.argv[1], int(sys.argv[2])).run()
