"""The tests' files are in memory where there is much of it: their hundreds of databases would keep a disk busy."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108
BYTES_MIN: Final = 8 << 30


def prefer_memory() -> None:
    """Have temporary files there, in this process and in those that it starts, unless somebody said where."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < BYTES_MIN:
        return
    if os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:  # PostgreSQL is started from it
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
