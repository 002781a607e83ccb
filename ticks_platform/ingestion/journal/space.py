"""The disk space of a journal: how its limit is divided, and the reserve that frees space on a full disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

PAGE = 4096
"""Bytes of a page of the file, SQLite's default."""

LOG_PAGE = PAGE + 24
"""Bytes of a page in SQLite's write-ahead log."""

_LEAST = 1 << 19
"""Bytes that the files of a journal may take in any case."""

_INDEX = 1 << 16
"""Bytes set apart for the index of SQLite's log (`-shm`), and for notes of coverage."""


class Budget(NamedTuple):
    """How the limit of a journal is divided, in bytes."""

    total: int
    """What all files of the journal may take."""
    reserve: int
    log: int
    """What SQLite's log may take before its pages are moved to the main file."""
    file: int
    """What the main file may take."""

    @classmethod
    def of(cls, limit: int) -> Budget:
        """The budget of a journal whose files may take this many bytes; 0.5 MB at least."""
        # The rest is for the moments in which a deletion, or a copy, takes space beside what it frees.
        total = max(limit - limit // 32, _LEAST)
        # The new owner of a journal needs 32 KB, a rewritten one without frames 28 KB.
        reserve = min(1 << 20, max(1 << 17, total // 16))
        log = min(4 << 20, total // 4)
        return cls(total, reserve, log, total - reserve - log - _INDEX)

    @property
    def pages(self) -> int:
        """Pages that the main file may have."""
        return self.file // PAGE


def pages_of(size: int) -> int:
    """Pages that frames of this many bytes take, with the pages of the tree that lead to them."""
    return size // (PAGE - 4) + 4


def size_of_copy(waiting: int) -> int:
    """Bytes that a new file with so many bytes of frames takes at most."""
    # Small groups have as much beside their frames; of a page with larger ones, less than the half is unused.
    return 3 * waiting + 16 * PAGE


def size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def log_of(path: Path) -> Path:
    """SQLite's write-ahead log of a journal."""
    return path.with_name(path.name + "-wal")


def index_of(path: Path) -> Path:
    """The index of SQLite's write-ahead log."""
    return path.with_name(path.name + "-shm")


def reserve_of(path: Path) -> Path:
    """The file that reserves space for a journal."""
    return path.with_name(path.name + "-reserve")


def taken(path: Path) -> int:
    """Bytes that a journal's files take on the disk, without the reserve."""
    return size(path) + size(log_of(path)) + size(index_of(path))


def free(path: Path) -> int:
    """Bytes that can be written to the disk of a file."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


class Reserve:
    """A file that only takes space. It is removed to make room for what frees more, or for a new owner."""

    def __init__(self, path: Path, size: int) -> None:
        """`path` is the journal's. Nothing is done to the disk yet."""
        self._path = reserve_of(path)
        self._size = size
        self.held = False
        """Whether the space is reserved."""

    def hold(self) -> bool:
        """Reserve the space if it is not; whether that succeeded. Raises no error."""
        if self.held:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
                os.ftruncate(descriptor, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()
        else:
            self.held = True
        return self.held

    def release(self) -> None:
        """Give the space back to the disk."""
        self.held = False
        with contextlib.suppress(OSError):
            self._path.unlink()
