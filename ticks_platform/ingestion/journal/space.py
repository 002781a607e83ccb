"""The disk space of a journal: how its limit is divided and kept, and the reserve that frees space on a full disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
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
    """What the main file may take while the feed is received."""
    last: int
    """What it may take beyond that at a stop, for what has arrived by then."""

    @classmethod
    def of(cls, limit: int) -> Budget:
        """The budget of a journal whose files may take this many bytes; 0.5 MB at least."""
        # The rest is for the moments in which a deletion, or a copy, takes space beside what it frees.
        total = max(limit - limit // 32, _LEAST)
        # The new owner of a journal needs 32 KB, a rewritten one without frames 28 KB.
        reserve = min(1 << 20, max(1 << 17, total // 16))
        log = min(4 << 20, total // 4)
        # The sockets of several connections hold less than that; with a small limit, what is left to read at a stop
        # waits for room.
        last = min(64 << 20, total // 8)
        return cls(total, reserve, log, total - reserve - log - _INDEX - last, last)

    @property
    def largest(self) -> int:
        """Bytes of frames that may be appended at once: an empty journal has room for them, in its file and its log."""
        return (self.total - self.reserve - _INDEX - self.last - self.log // 8) // 2 - 16 * PAGE


def pages_of(size: int) -> int:
    """Pages that frames of this many bytes take, with the pages of the tree that lead to them."""
    return size // (PAGE - 4) + 4


def size_of_copy(waiting: int) -> int:
    """Bytes that a new file with so many bytes of frames takes at most."""
    # Small groups have as much beside their frames; of a page with larger ones, less than the half is unused.
    return 3 * waiting + 16 * PAGE


def size_of(path: Path) -> int:
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
    return size_of(path) + size_of(log_of(path)) + size_of(index_of(path))


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


class Room:
    """The room that is left in the files of a journal. Used under the journal's lock."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        self._file = budget.file
        # Estimates from above, so that the files are looked at again in time.
        self._pages = 0
        self._log = 0

    def trimmed(self, size: int) -> None:
        """Frames of this many bytes were deleted, which is written to the log too."""
        self._pages = 0
        self._log -= (8 + size // (16 * PAGE)) * LOG_PAGE

    def give_last(self) -> None:
        """Let the main file take what is set apart for a stop too."""
        self._file = self._budget.file + self._budget.last
        self.look_again()

    def is_too_large(self) -> bool:
        """Whether the main file is larger than it may ever be: an older release, or a higher limit, has left it."""
        return size_of(self._path) > self._budget.file + self._budget.last

    def look_again(self) -> None:
        """Look at the files before the next append: they are new."""
        self._pages = self._log = 0

    def in_file(self, writer: sqlite3.Connection, size: int) -> bool:
        """Whether the main file has room for frames of this many bytes."""
        pages = pages_of(size)
        self._pages -= pages
        # One group of frames may take more of the log than it should; then less is left for the main file.
        beyond = max(0, pages * LOG_PAGE + self._unseen - self._budget.log)
        if self._pages < 0 or beyond:
            (count,) = writer.execute("PRAGMA page_count").fetchone()
            (unused,) = writer.execute("PRAGMA freelist_count").fetchone()
            limit = self._file // PAGE - -(-beyond // PAGE)
            self._pages = limit - count + unused - pages
            if beyond and count > limit:
                return False
        return self._pages >= 0

    def log_is_short(self, writer: sqlite3.Connection, size: int) -> bool:
        """Whether SQLite's log may grow by frames of this many bytes; its pages are moved to the main file if due.

        While somebody reads, the log cannot start over, and grows.
        """
        cost = pages_of(size) * LOG_PAGE
        self._log -= cost
        if self._log >= 0:
            return True
        if self.restart_log(writer):
            self._log = self._longest_log - cost
            return True
        log = size_of(log_of(self._path))
        self._log = max(self._longest_log - log, self._unseen) - cost
        is_short = log + cost <= self._longest_log + self._unseen
        if is_short or (log <= 2 * self._budget.log and self.within_budget(size)):
            return True
        self._log = 0  # whoever asks again must look again
        return False

    def within_budget(self, size: int) -> bool:
        """Whether the files take no more than they may when the log has grown by frames of this many bytes."""
        cost = pages_of(size) * LOG_PAGE + self._unseen
        return taken(self._path) + cost + self._budget.reserve <= self._budget.total

    def is_blocked(self) -> bool:
        """Whether somebody reads so that the log grows to the limit."""
        return size_of(log_of(self._path)) > 1.5 * self._budget.log and not self.within_budget(0)

    def for_copy(self, waiting: int) -> bool:
        """Whether a file with the frames that wait has room beside the old one, if the reserve is given up for it, and
        is the smaller one by far."""
        needed, used = size_of_copy(waiting), taken(self._path)
        return (
            2 * needed <= used
            and (needed <= self._budget.reserve or needed + used <= self._budget.total)
            and needed <= free(self._path) + size_of(reserve_of(self._path))
        )

    def shorten_log(self, writer: sqlite3.Connection) -> None:
        """Restart the log if a large group has made it longer than it may be, before something else is written."""
        if size_of(log_of(self._path)) > self._longest_log + self._unseen:
            self.restart_log(writer)

    @property
    def _longest_log(self) -> int:
        """Bytes that the log may take beside the main file as it is, which may be larger than it should."""
        beside = self._budget.total - self._budget.reserve - _INDEX - size_of(self._path)
        return max(0, min(self._budget.log, beside))

    @property
    def _unseen(self) -> int:
        """Bytes by which the log may grow between two looks at it, while somebody reads."""
        return self._budget.log // 8

    def restart_log(self, writer: sqlite3.Connection) -> bool:
        """Move the log's pages to the main file as far as its readers allow; whether the log starts over."""
        # Its file is overwritten and not cut off, since a sync of a file that grows takes longer.
        log = size_of(log_of(self._path))
        is_long = log > self._longest_log + self._unseen or not self.within_budget(0)
        with contextlib.suppress(sqlite3.OperationalError):
            (timeout,) = writer.execute("PRAGMA busy_timeout").fetchone()
            writer.execute("PRAGMA busy_timeout = 0")
            try:
                mode = "TRUNCATE" if is_long else "RESTART"
                (busy, _, _) = writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
                return not busy
            finally:
                writer.execute(f"PRAGMA busy_timeout = {timeout}")
        return False
