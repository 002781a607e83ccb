"""Changes of coverage on this machine's disk, until the database has them: it may be away when their owner is killed.

They stand in the feed's journals, beside the frames. Without them, what a connection has brought after it had stalled
would make its coverage reach over the stall.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

logger = logging.getLogger(__name__)


class Period(NamedTuple):
    """One interval of coverage as it stands; a later one of the same symbol, connection and begin replaces it."""

    symbol: str
    connection: int
    begins_at: int
    """Nanoseconds since the Unix epoch."""
    ends_at: int | None = None
    ended_by: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Period]).decode


class Left(NamedTuple):
    """What an earlier owner has noted, and the database does not have."""

    epoch: int
    periods: list[Period]


class CoverageNotes:
    """Notes in one owner's journal, and those of its predecessors in all journals of the feed. Not for several threads.

    A disk that takes no note is logged, and no reason to stop: without it, coverage is as it would be without notes.
    """

    def __init__(self, journal: Path, *, epoch: int, journals: Sequence[Path]) -> None:
        """`journal` is the owner's own one, which has been opened, and `journals` are all that the feed may have."""
        self._journal = journal
        self._journals = journals
        self._epoch = epoch
        self.last = 0
        """The number of the last note."""

    def write(self, periods: Sequence[Period]) -> None:
        """Note these; when this returns, they survive the end of the process."""
        query = "INSERT INTO coverage_note (epoch, periods) VALUES (?, ?)"
        done = _execute(self._journal, query, self._epoch, _encode(periods))
        if done is not None:
            self.last = done.number

    def forget(self, until: int) -> None:
        """The database has what was noted up to this number."""
        _execute(self._journal, "DELETE FROM coverage_note WHERE epoch = ? AND number <= ?", self._epoch, until)

    def left(self) -> list[Left]:
        """What earlier owners have noted, in the order in which they did."""
        query = "SELECT epoch, number, periods FROM coverage_note WHERE epoch < ?"
        done = [_execute(path, query, self._epoch) for path in self._journals if path.exists()]
        notes = sorted(row for each in done if each is not None for row in each.rows)
        return [Left(epoch, _decode(periods)) for epoch, _, periods in notes]

    def forget_left(self) -> None:
        """The database has what earlier owners noted."""
        for path in self._journals:
            if path.exists():
                _execute(path, "DELETE FROM coverage_note WHERE epoch < ?", self._epoch)


class _Done(NamedTuple):
    rows: list[tuple[int, int, bytes]]
    number: int


def _execute(path: Path, query: str, *parameters: int | bytes) -> _Done | None:
    """None where that cannot be done."""
    try:
        # Never makes a file: where a damaged one was set aside, it is the next owner that begins another.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection, connection:
            # What a killed process has written survives it; only a power cut may take the last note.
            connection.execute("PRAGMA synchronous = NORMAL")
            cursor = connection.execute(query, parameters)
            return _Done(cursor.fetchall(), cursor.lastrowid or 0)
    except sqlite3.Error as error:
        logger.warning("changes of coverage cannot be noted in %s: %s", path, error)
        return None
