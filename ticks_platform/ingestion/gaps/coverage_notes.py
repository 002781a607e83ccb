"""Stores changes of coverage on this machine's disk until the database has them, in the feed's journals.

Without these notes, an owner that is killed while the database is unavailable would lose them; then data that its
connection received after a stall would extend the coverage over the stall.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticks_platform.paths import open_lock

logger = logging.getLogger(__name__)


class Period(NamedTuple):
    """An interval of coverage. A later one with the same symbol, connection and begin replaces it."""

    symbol: str
    connection: int
    begins_at: int
    """Nanoseconds since the Unix epoch."""
    ends_at: int | None = None
    ended_by: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Period]).decode


class EarlierNotes(NamedTuple):
    """All notes of an earlier owner that the database may not have."""

    epoch: int
    periods: list[Period]


class CoverageNotes:
    """The notes in an owner's journal, and those of earlier owners in all journals of the feed. Not thread-safe.

    If a note cannot be written or read, that is logged and not raised.
    """

    def __init__(self, journal: Path, *, epoch: int, journals: Sequence[Path]) -> None:
        """`journal` is the owner's, which is open already; `journals` are all that the feed may have."""
        self._journal = journal
        self._journals = list(journals)
        self._epoch = epoch
        self.last = 0
        """The number of the last note."""

    def add(self, journal: Path) -> None:
        """Another journal that has notes of earlier owners."""
        self._journals = [path for path in self._journals if path.exists()] + [journal]

    def write(self, periods: Sequence[Period]) -> bool:
        """Write a note, and return whether it is written: then it survives the end of the process."""
        query = "INSERT INTO coverage_note (epoch, periods) VALUES (?, ?)"
        result = _execute(self._journal, query, self._epoch, _encode(periods))
        if result is None:
            return False
        self.last = result.number
        return True

    def delete(self, until: int) -> None:
        """Delete this owner's notes up to this number: the database has them."""
        _execute(self._journal, "DELETE FROM coverage_note WHERE epoch = ? AND number <= ?", self._epoch, until)

    def earlier(self) -> list[EarlierNotes]:
        """The notes of each earlier owner, in the order in which they were written."""
        query = "SELECT epoch, number, periods FROM coverage_note WHERE epoch < ?"
        results = [_execute(path, query, self._epoch) for path in self._journals if path.exists()]
        notes = sorted(row for each in results if each is not None for row in each.rows)
        found: dict[int, list[Period]] = {}
        for epoch, _, periods in notes:
            found.setdefault(epoch, []).extend(_decode(periods))
        return [EarlierNotes(*each) for each in found.items()]

    def delete_earlier(self) -> None:
        """Delete the notes of earlier owners: the database has them."""
        for path in self._journals:
            if path.exists():
                _execute(path, "DELETE FROM coverage_note WHERE epoch < ?", self._epoch)


class _Result(NamedTuple):
    rows: list[tuple[int, int, bytes]]
    number: int
    """The rowid of an inserted row."""


def _execute(path: Path, query: str, *parameters: int | bytes) -> _Result | None:
    """Execute a statement; None if that fails."""
    try:
        # mode=rw does not create a file: if a damaged journal was set aside, the next owner creates another.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        # The owner must not replace the file meanwhile.
        with open_lock(path), contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection, connection:
            # Not synced: a note survives the end of the process, but a power loss may cost the last one.
            connection.execute("PRAGMA synchronous = NORMAL")
            # The journal's owner does it.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            cursor = connection.execute(query, parameters)
            return _Result(cursor.fetchall(), cursor.lastrowid or 0)
    except (OSError, sqlite3.Error) as error:
        logger.warning("%s: cannot read or write notes of coverage: %s", path, error)
        return None
