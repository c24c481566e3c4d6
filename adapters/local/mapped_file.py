"""Files of a fixed size that processes share by mapping them into memory."""

import mmap
import os
from pathlib import Path


def mapped(path: Path, size: int) -> mmap.mmap:
    """The file with `size` bytes, made if it is missing. Raises OSError.

    The disk space is taken at once: a write to a mapping that finds the disk full ends the process.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, size)
        return mmap.mmap(file, size)
    finally:
        os.close(file)
