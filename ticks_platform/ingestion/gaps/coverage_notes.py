"""Stores changes of coverage in the database; and on this machine's disk until it has them, in the feed's journals.

Without notes on the disk, an owner that is killed while the database is unavailable would lose them; then data that its
connection received after a stall would extend the coverage over the stall.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from psycopg2.extras import execute_values

from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


class Period(NamedTuple):
    """An interval of coverage. A later one with the same symbol, connection and begin replaces it."""

    symbol: str
    connection: int
    begins_at: int
    """Nanoseconds since the Unix epoch."""
    ends_at: int | None = None
    ended_by: str | None = None


IN_FLIGHT = 250_000_000
"""Nanoseconds that a frame may be in flight: one that is lost with its connection was sent up to so much before the
last received one was stamped. Coverage ends earlier by this time."""

IN_FLIGHT_INTERVAL = timedelta(microseconds=IN_FLIGHT // 1000)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Period]).decode


class EarlierNotes(NamedTuple):
    """Notes of an earlier owner that the database does not have."""

    epoch: int
    periods: list[Period]


class CoverageNotes:
    """The notes in an owner's journal, and those of earlier owners in all journals of the feed. Not thread-safe.

    If a note cannot be written, that is logged and not raised: coverage is then computed without it.
    """

    def __init__(self, journal: Path, *, epoch: int, journals: Sequence[Path]) -> None:
        """`journal` is the owner's, which is open already; `journals` are all that the feed may have."""
        self._journal = journal
        self._journals = journals
        self._epoch = epoch
        self.last = 0
        """The number of the last note."""

    def write(self, periods: Sequence[Period]) -> None:
        """Write a note; when this returns, it survives the end of the process."""
        query = "INSERT INTO coverage_note (epoch, periods) VALUES (?, ?)"
        result = _execute(self._journal, query, self._epoch, _encode(periods))
        if result is not None:
            self.last = result.number

    def delete(self, until: int) -> None:
        """Delete this owner's notes up to this number: the database has them."""
        _execute(self._journal, "DELETE FROM coverage_note WHERE epoch = ? AND number <= ?", self._epoch, until)

    def earlier(self) -> list[EarlierNotes]:
        """The notes of earlier owners, in the order in which they were written."""
        query = "SELECT epoch, number, periods FROM coverage_note WHERE epoch < ?"
        results = [_execute(path, query, self._epoch) for path in self._journals if path.exists()]
        notes = sorted(row for each in results if each is not None for row in each.rows)
        return [EarlierNotes(epoch, _decode(periods)) for epoch, _, periods in notes]

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
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection, connection:
            # Not synced: a note survives the end of the process, but a power loss may cost the last one.
            connection.execute("PRAGMA synchronous = NORMAL")
            cursor = connection.execute(query, parameters)
            return _Result(cursor.fetchall(), cursor.lastrowid or 0)
    except sqlite3.Error as error:
        logger.warning("%s: cannot read or write notes of coverage: %s", path, error)
        return None


def store_periods(cursor: Cursor, feed: str, epoch: int, periods: Sequence[Period]) -> Collection[Period]:
    """Store the latest state of each period, and return those."""
    # An INSERT … ON CONFLICT must not have the same key twice.
    last = {(period.symbol, period.connection, period.begins_at): period for period in periods}
    execute_values(
        cursor,
        sql_files.read("queries/gaps/record_coverage.sql"),
        [
            (
                feed,
                period.symbol,
                from_nanoseconds(period.begins_at),
                None if period.ends_at is None else from_nanoseconds(period.ends_at),
                period.ended_by,
                epoch,
                period.connection,
            )
            for period in last.values()
        ],
        page_size=1000,
    )
    return last.values()


def extend_to_last_ticks(cursor: Cursor, feed: str, epoch: int, silent: Sequence[Period]) -> None:
    """Extend coverage that ended by silence, known to the second only, to the last tick in the table.

    That tick arrived before the silence: later ones are loaded after this.
    """
    if silent:
        arguments = {
            "feed": feed,
            "epoch": epoch,
            "symbols": [period.symbol for period in silent],
            "begins": [from_nanoseconds(period.begins_at) for period in silent],
            "in_flight": IN_FLIGHT_INTERVAL,
        }
        cursor.execute(sql_files.read("queries/gaps/extend_silent_coverage.sql"), arguments)


def store_refusals(cursor: Cursor, feed: str, refusals: Mapping[str, str | None]) -> None:
    """Store why the provider does not stream symbols; None if it does."""
    execute_values(
        cursor,
        sql_files.read("queries/gaps/record_refusals.sql"),
        [(feed, *item) for item in refusals.items()],
        template="(%s, %s, %s::text)",
        page_size=1000,
    )


def correct_configured_since(cursor: Cursor, feed: str, symbols: list[str], *, at: int, wrong: Sequence[int]) -> None:
    """The clock was wrong when these symbols were recorded as configured: they are since `at`."""
    moments = [from_nanoseconds(each) for each in wrong]
    parameters = {"feed": feed, "at": from_nanoseconds(at), "symbols": symbols, "wrong": moments}
    cursor.execute(sql_files.read("queries/gaps/correct_configured_since.sql"), parameters)
