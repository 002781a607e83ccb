"""A journal seen from outside, while its owner goes on."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ticks_platform.ingestion.journal.file import JournalError, check_header, connect_to_look, end_of


class Waiting(NamedTuple):
    """What waits in a journal beyond a position."""

    frames: int
    bytes: int


class JournalView:
    """A journal as of one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.feed: str
        self.journal_id: str
        self.feed, self.journal_id = connection.execute("SELECT feed, journal_id FROM journal").fetchone()
        self.end: int
        """The position after the last frame."""
        self.frames_appended: int
        """Frames taken in since the journal was made."""
        self.end, self.frames_appended = end_of(connection)

    def beyond(self, position: int) -> Waiting:
        """What stands at this position and after it."""
        frames, size = self._connection.execute(
            "SELECT coalesce(sum(frames), 0), coalesce(sum(end - position), 0) FROM frame_group WHERE end > ?",
            (position,),
        ).fetchone()
        return Waiting(frames, size)


@contextlib.contextmanager
def journal_view(path: Path) -> Iterator[JournalView]:
    """Look into a journal, without disturbing its owner. Raises JournalError when it is not there or cannot be read."""
    try:
        with contextlib.closing(connect_to_look(path)) as connection:
            check_header(connection, path)
            connection.execute("BEGIN")
            yield JournalView(connection)
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
