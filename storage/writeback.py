"""Letting the disk begin with a file that is still being written, so that the fsync at its end has little left to do.

It is a hint and promises nothing; what is durable is decided by the fsync alone.
"""

import ctypes

_WRITE = 2  # SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin, and do not wait

try:
    _sync_file_range = ctypes.CDLL(None).sync_file_range
except (AttributeError, OSError, TypeError):  # not Linux
    _sync_file_range = None  # type: ignore[assignment]
else:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def begin_writing(descriptor: int, start: int, length: int) -> None:
    """Let the disk begin with these bytes of an open file, where the system can be told."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, start, length, _WRITE)
