"""A connection that reads a journal, which is closed when it was replaced and its last reading has ended."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.file import FrameGroup


class Reader:
    """Reads one file; if the journal is rewritten, a reading that has begun ends in the old file."""

    def __init__(self, path: Path) -> None:
        self._connection = journal_file.connect(path)
        self._lock = threading.Condition()
        self._users = 0
        self._retired = False

    @contextlib.contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection."""
        with self._lock:
            self._users += 1
        try:
            yield self._connection
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_unused()
                self._lock.notify_all()

    def groups(self, position: int, end: int) -> Iterator[FrameGroup]:
        """Yield the groups from this position to this end. Raises sqlite3.Error and UnreadableError."""
        with self.use() as connection:
            rows = connection.execute(
                "SELECT position, end, data FROM frame_group WHERE position >= ? AND position < ? ORDER BY position",
                (position, end),
            )
            with contextlib.closing(rows):
                for begin, until, data in rows:
                    contents = journal_file.decode(data, position=begin, end=until)
                    yield FrameGroup(begin, until, *msgspec.structs.astuple(contents))

    def retire(self) -> None:
        """Close it as soon as nobody reads."""
        with self._lock:
            self._retired = True
            self._close_if_unused()

    def wait_unused(self, seconds: float) -> bool:
        """Wait until nobody reads; whether that is so."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._users, seconds)

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._connection.close()
