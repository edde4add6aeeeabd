"""What the system has of a file that the disk has not: what a machine that loses its power would lose."""

import ctypes
import os
from pathlib import Path
from typing import Final

CACHESTAT: Final = 451  # the number of Linux's call, since 6.5


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Counts(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writing", "evicted", "recently_evicted"))


def pages_not_on_disk(path: Path) -> int:
    """How many pages of the file are not on the disk.

    Raises:
        OSError: this system does not tell.
    """
    counts = _Counts()
    file = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(CACHESTAT, file, ctypes.byref(_Range(0, 0)), ctypes.byref(counts), 0) != 0:
            raise OSError(ctypes.get_errno(), "cachestat")
    finally:
        os.close(file)
    return int(counts.dirty + counts.writing)


def can_tell(folder: Path) -> bool:
    """Whether the folder's file system keeps from the disk what is not flushed, and tells of it."""
    tried = folder / "tried"
    with tried.open("wb", buffering=0) as file:
        file.write(b"x")
        try:
            is_kept = pages_not_on_disk(tried) > 0
            os.fsync(file.fileno())
            return is_kept and pages_not_on_disk(tried) == 0
        except OSError:
            return False
