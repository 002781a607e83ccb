"""The ranges of a provider's history that are fetched or to be fetched: rows of `feed_repair`, which never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.intervals import merge, subtract
from ticks_platform.masking import mask
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

Interval = tuple[datetime, datetime]

EXTENDED_BARS = "extended_bars"
"""Bars of a gap outside regular hours, where they are requested apart."""

GAPS = ("trades", "bars", EXTENDED_BARS)
"""The kinds of ranges of gaps, and of days that were selected."""

EVER: Interval = (datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(9999, 1, 1, tzinfo=timezone.utc))


class SymbolInterval(NamedTuple):
    """A half-open interval of event time of one symbol, named as the ticks name it."""

    symbol: str
    begin: datetime
    end: datetime


class Range(NamedTuple):
    """A range that is not completely fetched."""

    repair_id: int
    kind: str
    interval: SymbolInterval
    cursor: str | None
    """Where the next page begins; None before the first page."""
    pages: int
    failures: int


class PageRecord(NamedTuple):
    """A page of a range that is in the journal."""

    repair_id: int
    page: int
    """Number of the page, from 1."""
    results: int
    cursor: str | None
    """Where the next page begins; None after the last page."""


def merged(intervals: Iterable[SymbolInterval], within: timedelta) -> list[SymbolInterval]:
    """Merge the intervals of one symbol that are not further apart than `within`."""
    return [
        SymbolInterval(symbol, *interval)
        for symbol, those in groupby(sorted(intervals), key=lambda interval: interval.symbol)
        for interval in merge([(each.begin, each.end) for each in those], within=within)
    ]


def add(cursor: Cursor, feed: str, kind: str, intervals: Sequence[SymbolInterval]) -> int:
    """Add the parts of these intervals that are not in the table, or that failed; returns the number of new rows.

    Only the owner of the repair lease may call this.
    """
    given = merged(intervals, timedelta(0))
    if not given:
        return 0
    cursor.execute(
        sql_files.read("queries/repair/known_ranges.sql"),
        {
            "feed": feed,
            "kind": kind,
            "symbols": list({interval.symbol for interval in given}),
            "begin": min(interval.begin for interval in given),
            "end": max(interval.end for interval in given),
        },
    )
    known = {symbol: [row[1:] for row in rows] for symbol, rows in groupby(cursor.fetchall(), key=lambda row: row[0])}
    added = [
        (feed, interval.symbol, kind, *part)
        for interval in given
        for part in subtract((interval.begin, interval.end), known.get(interval.symbol, []))
    ]
    if added:
        execute_values(
            cursor,
            "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at) VALUES %s",
            added,
        )
    return len(added)


def next_range(cursor: Cursor, feed: str, kinds: Sequence[str], within: Interval = EVER) -> Range | None:
    """The range to fetch next, of these kinds and `within` a time, or None."""
    parameters = {"feed": feed, "kinds": list(kinds), "begin": within[0], "end": within[1]}
    cursor.execute(sql_files.read("queries/repair/next_range.sql"), parameters)
    row = cursor.fetchone()
    return Range(row[0], row[1], SymbolInterval(*row[2:5]), *row[5:]) if row else None


def record_page(cursor: Cursor, journal_id: str, record: PageRecord) -> None:
    """Record a page that is in this journal; no effect if it is recorded already."""
    cursor.execute(
        sql_files.read("queries/repair/record_page.sql"),
        {
            "cursor": record.cursor,
            "page": record.page,
            "results": record.results,
            "journal": journal_id,
            "id": record.repair_id,
        },
    )


def mark_loaded(cursor: Cursor, feed: str, journal_id: str) -> None:
    """Mark the fetched ranges of this journal as loaded."""
    parameters = {"feed": feed, "journal_id": journal_id}
    cursor.execute(sql_files.read("queries/repair/mark_ranges_loaded.sql"), parameters)


def restart(cursor: Cursor, feed: str, journal_id: str) -> int:
    """Fetch again what is in another journal and not loaded: it was damaged, or is on another machine."""
    cursor.execute(sql_files.read("queries/repair/restart_ranges.sql"), {"feed": feed, "journal_id": journal_id})
    return cursor.rowcount


def postpone(cursor: Cursor, repair_id: int, *, seconds: float, reason: str) -> None:
    """Retry a range after so many seconds."""
    parameters = {"repair_id": repair_id, "seconds": seconds, "reason": storable(mask(reason))}
    cursor.execute(sql_files.read("queries/repair/postpone_range.sql"), parameters)


def fail(cursor: Cursor, repair_id: int, reason: str) -> None:
    """Give a range up: a retry cannot succeed."""
    parameters = {"repair_id": repair_id, "reason": storable(mask(reason))}
    cursor.execute(sql_files.read("queries/repair/fail_range.sql"), parameters)


def count_unfinished(cursor: Cursor, feed: str) -> int:
    """Number of ranges of gaps that are not completely fetched."""
    return _count(cursor, feed, GAPS, "wanted")


def count_fetched(cursor: Cursor, feed: str, kinds: Sequence[str] = GAPS) -> int:
    """Number of ranges of these kinds that are fetched, but not done: their gaps are not closed yet."""
    return _count(cursor, feed, kinds, "fetched", "loaded")


def _count(cursor: Cursor, feed: str, kinds: Sequence[str], *states: str) -> int:
    cursor.execute(
        "SELECT count(*) FROM ticks_platform.feed_repair WHERE feed = %s AND kind = ANY (%s) AND state = ANY (%s)",
        (feed, list(kinds), list(states)),
    )
    (count,) = cursor.fetchone() or (0,)
    return int(count)
