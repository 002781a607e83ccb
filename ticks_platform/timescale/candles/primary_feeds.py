"""Primary and secondary feeds in the stored ticks: bit 16 of `updates`, which keeps a tick out of the candles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform import timestamps
from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

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


class Disagreement(NamedTuple):
    """Ticks of one symbol, feed and UTC day that are marked as secondary and should not be, or the other way round."""

    day: datetime
    feed: str
    symbol: str
    ticks: int


def find(cursor: Cursor, feeds: Feeds) -> Iterator[Disagreement]:
    """What the stored ticks say otherwise than the settings, in order of days. Reads the whole table."""
    for day in _days(cursor):
        yield from _of_day(cursor, feeds, day)


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
        cursor.execute(sql_files.read("queries/primary_feeds/apply.sql"), {**parameters, **which})
        changed = cursor.rowcount
        cursor.execute(sql_files.read("queries/candles/forget_refreshes.sql"), parameters)
    with database.autocommit() as cursor:
        late_ticks.refresh_days(cursor, day, day + _DAY)
    return changed


def _of_day(cursor: Cursor, feeds: Feeds, day: datetime) -> list[Disagreement]:
    cursor.execute(sql_files.read("queries/primary_feeds/disagreeing.sql"), feeds.parameters(day))
    return [
        Disagreement(day, feed, symbol, ticks)
        for feed, symbol, ticks in cursor.fetchall()
        if feed in feeds.secondary or feeds.lists[feed](symbol)
    ]


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
