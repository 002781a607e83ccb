"""A read-only view of a journal, while its owner appends."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ticks_platform.ingestion.journal.file import JournalError, check_header, connect_read_only, end_of


class Waiting(NamedTuple):
    """Frames that are not committed."""

    frames: int
    bytes: int


class JournalView:
    """A journal at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.feed: str
        self.journal_id: str
        self.feed, self.journal_id = connection.execute("SELECT feed, journal_id FROM journal").fetchone()
        self.end: int
        """The position after the last frame."""
        self.frames_appended: int
        """Frames appended since the journal was created."""
        self.end, self.frames_appended = end_of(connection)

    @property
    def used(self) -> int:
        """Bytes of the main file that are in use: those of frames that are not deleted, and some pages of its own."""
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (unused,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(size * (pages - unused))

    def waiting_after(self, position: int) -> Waiting:
        """The frames at this position and after it."""
        frames, size = self._connection.execute(
            "SELECT coalesce(sum(frames), 0), coalesce(sum(end - position), 0) FROM frame_group WHERE end > ?",
            (position,),
        ).fetchone()
        return Waiting(frames, size)


@contextlib.contextmanager
def journal_view(path: Path) -> Iterator[JournalView]:
    """View a journal without disturbing its owner. Raises JournalError if it does not exist or cannot be read."""
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            check_header(connection, path)
            connection.execute("BEGIN")
            yield JournalView(connection)
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
