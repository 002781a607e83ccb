"""Keeps what the files of a journal take within its budget, without a look at the disk for every append."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from ticks_platform.ingestion.journal import space
from ticks_platform.ingestion.journal.space import Budget


class Room:
    """The room that is left in the files of a journal. Used under the journal's lock."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        # Estimates from above, so that the files are looked at again in time.
        self._pages = 0
        self._log = 0

    def trimmed(self, size: int) -> None:
        """Frames of this many bytes were deleted, which is written to the log too."""
        self._pages = 0
        self._log -= (8 + size // (16 * space.PAGE)) * space.LOG_PAGE

    def look_again(self) -> None:
        """Look at the files before the next append: they are new."""
        self._pages = self._log = 0

    def in_file(self, writer: sqlite3.Connection, size: int) -> bool:
        """Whether the main file has room for frames of this many bytes."""
        pages = space.pages_of(size)
        self._pages -= pages
        if self._pages < 0:
            (count,) = writer.execute("PRAGMA page_count").fetchone()
            (unused,) = writer.execute("PRAGMA freelist_count").fetchone()
            self._pages = self._budget.pages - count + unused - pages
        return self._pages >= 0

    def log_is_short(self, writer: sqlite3.Connection, size: int) -> bool:
        """Whether SQLite's log may grow by frames of this many bytes; its pages are moved to the main file if due.

        While somebody reads, the log cannot begin anew and grows.
        """
        cost = space.pages_of(size) * space.LOG_PAGE
        self._log -= cost
        if self._log >= 0:
            return True
        if self.restart_log(writer):
            self._log = self._budget.log - cost
            return True
        log = space.size(space.log_of(self._path))
        self._log = max(self._budget.log - log, self._unseen) - cost
        return log <= self._budget.log or (log <= 2 * self._budget.log and self.within_budget(size))

    def within_budget(self, size: int) -> bool:
        """Whether the files take no more than they may when the log has grown by frames of this many bytes."""
        cost = space.pages_of(size) * space.LOG_PAGE + self._unseen
        return space.taken(self._path) + cost + self._budget.reserve <= self._budget.total

    def is_blocked(self) -> bool:
        """Whether somebody reads so that the log grows to the limit."""
        return space.size(space.log_of(self._path)) > 1.5 * self._budget.log and not self.within_budget(0)

    def for_copy(self, waiting: int) -> bool:
        """Whether a file with the frames that wait has room beside the old one, if the reserve is given up for it, and
        is the smaller one by far."""
        needed, taken = space.size_of_copy(waiting), space.taken(self._path)
        return (
            2 * needed <= taken
            and (needed <= self._budget.reserve or needed + taken <= self._budget.total)
            and needed <= space.free(self._path) + space.size(space.reserve_of(self._path))
        )

    @property
    def _unseen(self) -> int:
        """Bytes by which the log may grow between two looks at it, while somebody reads."""
        return self._budget.log // 8

    def restart_log(self, writer: sqlite3.Connection) -> bool:
        """Move the log's pages to the main file as far as its readers allow; whether the log begins anew."""
        # Its file is overwritten and not cut off, since a sync of a file that grows takes longer.
        log = space.size(space.log_of(self._path))
        is_long = log > 1.5 * self._budget.log or not self.within_budget(0)
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
