"""Primary and secondary feeds in the stored ticks: bit 16 of `updates`, which keeps a tick out of the candles.

Rows by hand are secondary where they are copies of a feed's ticks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform import timestamps
from ticks_platform.intervals import merge
from ticks_platform.timescale import fingerprints, sql_files
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

BY_HAND = "manual"
"""The feed of rows that were inserted by hand."""
_DAY = timedelta(days=1)


class Feeds(NamedTuple):
    """The feeds of feeds.yaml. Ticks of any other feed are left as they are."""

    primary: Sequence[str]
    secondary: Sequence[str]
    lists: Mapping[str, Callable[[str], bool]]
    """Whether a primary feed lists a symbol, by feed. If a feed does not list it any more, its ticks are left as they
    are: another feed may make the candles of that symbol now."""

    def parameters(self, day: datetime) -> dict[str, object]:
        """Parameters of a query about one day."""
        return {
            "primary": list(self.primary),
            "secondary": list(self.secondary),
            "begin": day,
            "end": day + _DAY,
        }


def note_applied(cursor: Cursor, feeds: Feeds, since: datetime) -> None:
    """Note that the stored ticks agreed with these feeds at some time after `since`, by the database's clock.

    Until then, candles from before a feed became primary or secondary are not proven.
    """
    parameters = {"feeds": [*feeds.primary, *feeds.secondary], "since": since}
    cursor.execute(sql_files.read("queries/primary_feeds/applied.sql"), parameters)


class Disagreement(NamedTuple):
    """Ticks of one symbol, feed and UTC day that are marked as secondary and should not be, or the other way round."""

    day: datetime
    feed: str
    symbol: str
    ticks: int
    is_secondary: bool
    """What they should be."""


class Copies(NamedTuple):
    """Rows by hand of one symbol whose mark does not tell whether they are copies of a feed's ticks."""

    symbol: str
    are_copies: bool
    """If not, they are marked as secondary without a reason."""
    feeds: list[str]
    """Which make the candles of the symbol at that time."""
    rows: int


def copies_by_hand(cursor: Cursor, begin: datetime, end: datetime) -> list[Copies]:
    """The rows by hand of some time that are copies of a feed's ticks and not marked as such, or the other way round.

    They are copies in an hour in which another feed's ticks make the symbol's candles, except in that feed's gaps.
    """
    query = _with_hours("queries/primary_feeds/copies_by_hand.sql")
    cursor.execute(query, {"begin": begin, "end": end})
    return [Copies(*row) for row in cursor.fetchall()]


def all_copies_by_hand(cursor: Cursor) -> list[Copies]:
    """The same of all time. Reads the whole table, if there was ever a row by hand."""
    rows: Counter[tuple[str, bool, tuple[str, ...]]] = Counter()
    for day in _days(cursor):
        for copies in copies_by_hand(cursor, day, day + _DAY):
            rows[copies.symbol, copies.are_copies, tuple(copies.feeds)] += copies.rows
    return [
        Copies(symbol, are_copies, list(feeds), number) for (symbol, are_copies, feeds), number in sorted(rows.items())
    ]


def find(cursor: Cursor, feeds: Feeds) -> Iterator[Disagreement]:
    """What the stored ticks say otherwise than the settings, in order of days. Reads the whole table."""
    for day in _days(cursor):
        yield from _of_day(cursor, feeds, day)
        for copies in copies_by_hand(cursor, day, day + _DAY):
            yield Disagreement(day, BY_HAND, copies.symbol, copies.rows, copies.are_copies)


def apply(database: Database, feeds: Feeds, day: datetime) -> int:
    """Make the ticks of a UTC day agree with the settings, and refresh their candles; returns the number of ticks.

    Compressed chunks stay compressed but for the symbols that change; the columnstore policy compresses those again.
    If the refresh fails, the job catch_up does it.
    """
    parameters = feeds.parameters(day)
    with database.transaction() as cursor:
        found = _of_day(cursor, feeds, day)
        which = {
            "symbols": sorted({each.symbol for each in found}),
            "pair_feeds": [each.feed for each in found],
            "pair_symbols": [each.symbol for each in found],
        }
        # The limit guards against statements that unpack more than was meant; this one is about whole days.
        cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        with fingerprints.followed(cursor, which["pair_feeds"], day, day + _DAY, which["symbols"]):
            cursor.execute(sql_files.read("queries/primary_feeds/apply.sql"), {**parameters, **which})
            changed = cursor.rowcount
        # After the feeds, whose marks decide which rows are copies.
        symbols = [copies.symbol for copies in copies_by_hand(cursor, day, day + _DAY)]
        if symbols:
            query = _with_hours("queries/primary_feeds/apply_by_hand.sql")
            cursor.execute(query, {**parameters, "symbols": symbols})
            changed += cursor.rowcount
        cursor.execute(sql_files.read("queries/candles/forget_refreshes.sql"), parameters)
    with database.autocommit() as cursor:
        late_ticks.refresh_days(cursor, day, day + _DAY)
    return changed


def _of_day(cursor: Cursor, feeds: Feeds, day: datetime) -> list[Disagreement]:
    cursor.execute(sql_files.read("queries/primary_feeds/disagreeing.sql"), feeds.parameters(day))
    return [
        Disagreement(day, feed, symbol, ticks, feed in feeds.secondary)
        for feed, symbol, ticks in cursor.fetchall()
        if feed in feeds.secondary or feeds.lists[feed](symbol)
    ]


def _with_hours(file: str) -> sql.Composed:
    return sql_files.compose(file, hours=sql_files.compose("queries/primary_feeds/hours_with_rows_by_hand.sql"))


def _days(cursor: Cursor) -> Iterator[datetime]:
    """The begins of the UTC days that have chunks."""
    cursor.execute(sql_files.read("queries/primary_feeds/chunks.sql"))
    last = None
    for begin, end in merge(cursor.fetchall()):
        day = timestamps.floor(begin, _DAY)
        while day < end:
            if last is None or day > last:
                yield day
                last = day
            day += _DAY
