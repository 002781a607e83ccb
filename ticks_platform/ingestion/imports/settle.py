"""After files are loaded: the candles of their days, and the gaps that they fill."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds import file_formats
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.us_stocks.regular_hours import new_york_date, start_of_day
from ticks_platform.ingestion.imports.options import Imported
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.ranges import Interval, SymbolInterval
from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles, late_ticks
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import floor, from_nanoseconds, to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_DAY = timedelta(days=1)

_TRADES = "trades"
"""The kind of the ranges in feed_repair."""

_LEASE_INTERVAL = 1.0
"""Seconds between attempts to take the lease."""


class Settled(NamedTuple):
    """What was done for files that are loaded."""

    files: int = 0
    days: int = 0
    """Days whose candles were refreshed."""
    gaps: int = 0
    """Gaps that were closed."""
    left: int = 0
    """Days whose candles stay as they are: other ticks of them were dropped, which the candles still have."""


class _Loaded(NamedTuple):
    """A file that is loaded, but not settled."""

    journal_id: str
    format: str
    first: datetime | None
    last: datetime | None
    is_settled: bool
    """Whether it is all the same: by another import, which did not know what it covers."""
    symbols: Sequence[str]
    """Of which it has ticks, with those that stand for a market."""
    started_at: datetime
    """When its import was begun: it has nothing of what came later."""


def settle(
    database: Database,
    feed: FeedSettings,
    *,
    owner: str,
    covers: Interval | None = None,
    imported: Collection[str] | None = None,
    stopping: threading.Event | None = None,
) -> Settled:
    """Refresh the candles of all days of files that are loaded, once, and close the gaps that the files fill.

    A flat file has the whole day of its symbols, so it fills their gaps of it, and stands for the time before they were
    in feeds.yaml; files of other formats do for what `covers` says, if they are among those `imported`, or none are
    given. It may be interrupted at any moment: what is not settled yet, the
    next call settles. Waits while the feed is repaired, or imported by another process, unless it is `stopping`.
    """
    again = list(imported or ()) if covers is not None else []
    with database.transaction() as cursor:
        cursor.execute(sql_files.read("queries/imports/unsettled.sql"), {"feed": feed.name, "again": again})
        files = [_Loaded(*row) for row in cursor.fetchall()]
        candles_exist = _candles_exist(cursor)
    if not files:
        return Settled()
    days = _days([file for file in files if not file.is_settled])
    refreshed = left = 0
    if candles_exist:
        with database.autocommit() as cursor:
            kept = candles.kept_ranges(cursor)
            for begin, end in days:
                for day in (begin + number * _DAY for number in range((end - begin) // _DAY)):
                    late_ticks.refresh_days(cursor, day, day + _DAY)
                    is_kept = any(first <= day and day + _DAY <= last for first, last in kept)
                    refreshed, left = refreshed + is_kept, left + (not is_kept)
    lease = repair_lease.take_when_free(
        database, feed, owner=owner, stopping=stopping or threading.Event(), interval=_LEASE_INTERVAL
    )
    if lease is None:
        return Settled()
    with database.transaction() as cursor:
        repair_lease.renew(cursor, lease)
        closed = _close_gaps(
            cursor,
            feed,
            [
                (file, _covered(file, covers if imported is None or file.journal_id in imported else None))
                for file in files
            ],
        )
        cursor.execute(
            sql_files.read("queries/imports/settle.sql"), {"journal_ids": [file.journal_id for file in files]}
        )
        repair_lease.release(cursor, lease)
    return Settled(len(files), refreshed, closed, left)


def rejected_reasons(database: Database, imported: Sequence[Imported]) -> list[str]:
    """Why rows of these files were rejected, with file and line: the first ten."""
    with database.transaction() as cursor:
        journals = [file.journal_id for file in imported]
        cursor.execute(sql_files.read("queries/imports/rejected_reasons.sql"), {"journals": journals})
        return [reason for (reason,) in cursor.fetchall()]


def _candles_exist(cursor: Cursor) -> bool:
    names = [candle.name for candle in CANDLES]
    cursor.execute("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name", (names,))
    return cursor.fetchone() == (True,)


def _days(files: Sequence[_Loaded]) -> list[Interval]:
    """The UTC days of the files' ticks, merged."""
    return merge(
        (floor(file.first, _DAY), floor(file.last, _DAY) + _DAY)
        for file in files
        if file.first is not None and file.last is not None
    )


def _close_gaps(cursor: Cursor, feed: FeedSettings, files: Sequence[tuple[_Loaded, Interval | None]]) -> int:
    history = feed.keyless_connector().history()
    if history is not None and history.kind != "trades":
        history = None
    for file, covered in files:
        if covered is None:
            continue
        begin, end = covered
        parameters = {"feed": feed.name, "begin": begin, "end": end, "journal_id": file.journal_id}
        cursor.execute(
            sql_files.read("queries/imports/symbols_to_cover.sql"),
            {**parameters, "symbols": _told_of(feed, file)},
        )
        symbols = [symbol for (symbol,) in cursor.fetchall()]
        if symbols:
            repair_ranges.add(cursor, feed.name, _TRADES, [SymbolInterval(symbol, begin, end) for symbol in symbols])
            cursor.execute(
                sql_files.read("queries/imports/mark_ranges_loaded.sql"),
                {**parameters, "symbols": symbols, "state": "loaded" if history is not None else "done"},
            )
    return 0 if history is None else repair_gaps.close_gaps(cursor, feed.name, history).repaired


def _told_of(feed: FeedSettings, file: _Loaded) -> list[str]:
    """The symbols of which a file has everything. A flat file has all of its market, in one row where the feed asks for
    all of it; others have the symbols that are in them.
    """
    connector = feed.keyless_connector()
    many = {symbol for symbol in file.symbols if connector.many_names(symbol) is not None}
    if not many or file.format != file_formats.POLYGON:
        return [symbol for symbol in file.symbols if symbol not in many]
    listed = {connector.symbol_of(symbol) for symbol in feed.symbol_names()} - many
    return [*map(connector.symbol_of, many), *listed.intersection(file.symbols)]


def _covered(file: _Loaded, covers: Interval | None) -> Interval | None:
    """Of which time a file has everything; None if nobody knows."""
    if file.format in (file_formats.CSV, file_formats.PARQUET):
        if covers is None or covers[0] >= file.started_at:
            return None
        return covers[0], min(covers[1], file.started_at)
    if file.format != file_formats.POLYGON:  # of quotes or bars
        return None
    if file.first is None or file.last is None:
        return None
    day = new_york_date(to_nanoseconds(file.first))
    # One that has more than a day is none of the provider's.
    if new_york_date(to_nanoseconds(file.last)) != day:
        return None
    begin, end = from_nanoseconds(start_of_day(day)), from_nanoseconds(start_of_day(day + _DAY))
    # Of a day that was not over, nobody knows how far it goes.
    return (begin, end) if end <= file.started_at else None
