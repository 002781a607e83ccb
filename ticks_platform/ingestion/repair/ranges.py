"""What is to be fetched out of a provider's history and what was: the rows of `feed_repair`, which never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.intervals import merge, subtract
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

Interval = tuple[datetime, datetime]


class Stretch(NamedTuple):
    """A symbol, as the ticks call it, in a half-open interval of event time."""

    symbol: str
    begin: datetime
    end: datetime


class Range(NamedTuple):
    """A row that is not fetched to its end."""

    repair_id: int
    stretch: Stretch
    cursor: str | None
    """Where the next page begins; None before the first one."""
    pages: int
    failures: int


class Turned(NamedTuple):
    """That a page of a range is in the journal, and where the next one begins: nowhere after the last one."""

    repair_id: int
    page: int
    """1 for the first one."""
    results: int
    cursor: str | None


def joined(stretches: Iterable[Stretch], within: timedelta) -> list[Stretch]:
    """The same, with those of one symbol put together that are not further apart than this."""
    return [
        Stretch(symbol, *interval)
        for symbol, those in groupby(sorted(stretches), key=lambda stretch: stretch.symbol)
        for interval in merge([(stretch.begin, stretch.end) for stretch in those], within=within)
    ]


def want(cursor: Cursor, feed: str, kind: str, stretches: Sequence[Stretch]) -> int:
    """Add what is not there yet of these, and return how many rows that made. Only the owner of the repair calls it.

    What has failed is wanted again.
    """
    wanted = joined(stretches, timedelta(0))
    if not wanted:
        return 0
    cursor.execute(
        sql_files.read("queries/repair/known_ranges.sql"),
        {
            "feed": feed,
            "kind": kind,
            "symbols": list({stretch.symbol for stretch in wanted}),
            "begin": min(stretch.begin for stretch in wanted),
            "end": max(stretch.end for stretch in wanted),
        },
    )
    taken = {symbol: [row[1:] for row in rows] for symbol, rows in groupby(cursor.fetchall(), key=lambda row: row[0])}
    added = [
        (feed, stretch.symbol, kind, *part)
        for stretch in wanted
        for part in subtract((stretch.begin, stretch.end), taken.get(stretch.symbol, []))
    ]
    if added:
        execute_values(
            cursor,
            "INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at) VALUES %s",
            added,
        )
    return len(added)


def due(cursor: Cursor, feed: str) -> Range | None:
    """The oldest one to go on with, or None."""
    cursor.execute(sql_files.read("queries/repair/next_range.sql"), {"feed": feed})
    row = cursor.fetchone()
    return Range(row[0], Stretch(*row[1:4]), *row[4:]) if row else None


def turn(cursor: Cursor, journal_id: str, turned: Turned) -> None:
    """Take note of a page that is in this journal. A page that has been noted changes nothing."""
    cursor.execute(
        sql_files.read("queries/repair/record_page.sql"),
        {
            "cursor": turned.cursor,
            "page": turned.page,
            "results": turned.results,
            "journal": journal_id,
            "id": turned.repair_id,
        },
    )


def loaded(cursor: Cursor, feed: str, journal_id: str) -> None:
    """All that this journal held is in its table."""
    parameters = {"feed": feed, "journal_id": journal_id}
    cursor.execute(sql_files.read("queries/repair/mark_ranges_loaded.sql"), parameters)


def begin_again(cursor: Cursor, feed: str, journal_id: str) -> int:
    """Fetch anew what was not loaded out of another journal than this: it was damaged, or is on another machine."""
    cursor.execute(sql_files.read("queries/repair/begin_again.sql"), {"feed": feed, "journal_id": journal_id})
    return cursor.rowcount


def postpone(cursor: Cursor, repair_id: int, *, seconds: float, reason: str) -> None:
    """Not now: there is trouble with it that may pass."""
    parameters = {"repair_id": repair_id, "seconds": seconds, "reason": storable(reason)}
    cursor.execute(sql_files.read("queries/repair/postpone_range.sql"), parameters)


def fail(cursor: Cursor, repair_id: int, reason: str) -> None:
    """Never: asking again cannot help."""
    parameters = {"repair_id": repair_id, "reason": storable(reason)}
    cursor.execute(sql_files.read("queries/repair/fail_range.sql"), parameters)


def left(cursor: Cursor, feed: str) -> int:
    """How many are not fetched to their end."""
    cursor.execute("SELECT count(*) FROM ticks_platform.feed_repair WHERE feed = %s AND state = 'wanted'", (feed,))
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def unsettled(cursor: Cursor, feed: str) -> int:
    """How many are fetched, and their gaps not settled."""
    cursor.execute(
        "SELECT count(*) FROM ticks_platform.feed_repair WHERE feed = %s AND state IN ('fetched', 'loaded')", (feed,)
    )
    (count,) = cursor.fetchone() or (0,)
    return int(count)
