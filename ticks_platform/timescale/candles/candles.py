"""The candle tables: the hierarchy, what they hold, and refreshing them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from ticks_platform import timestamps
from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


REFRESH_ATTEMPTS = 10
REFRESH_PAUSE = 2.0
"""Seconds between attempts while another refresh of the same candle is running."""


class CandleView(NamedTuple):
    """A view that reads a candle, and is made along with it."""

    name: str
    file: str
    """Under sql/."""


class Candle(NamedTuple):
    """A candle table."""

    name: str
    bucket: timedelta
    finer: Candle | None
    """The candle that it is made from; None when it is made from the ticks."""
    file: str
    """Its definition, under sql/."""
    views: tuple[CandleView, ...] = ()

    @property
    def source(self) -> str:
        """The table or candle that it is made from."""
        return self.finer.name if self.finer else TICKS

    @property
    def files(self) -> tuple[str, ...]:
        """What makes it and its views, under sql/."""
        return (self.file, *(view.file for view in self.views))


TICKS = "stocks_real_time"
"""The table of ticks, which the finest candle is made from."""

ONE_MINUTE = Candle(
    "one_minute_candle",
    timedelta(minutes=1),
    None,
    "candles/one_minute_candle.sql",
    (
        CandleView("one_minute_candle_volume", "candles/one_minute_candle_volume.sql"),
        CandleView("one_minute_candle_filled", "candles/one_minute_candle_filled.sql"),
    ),
)
ONE_HOUR = Candle("one_hour_candle", timedelta(hours=1), ONE_MINUTE, "candles/one_hour_candle.sql")
ONE_DAY = Candle(
    "one_day_candle",
    timedelta(days=1),
    ONE_HOUR,
    "candles/one_day_candle.sql",
    (
        CandleView("session_day_candle", "candles/session_day_candle.sql"),
        CandleView("one_day_candle_adjusted", "candles/one_day_candle_adjusted.sql"),
        CandleView("session_day_candle_adjusted", "candles/session_day_candle_adjusted.sql"),
        CandleView("proven_candle", "candles/proven_candle.sql"),
    ),
)

CANDLES = (ONE_MINUTE, ONE_HOUR, ONE_DAY)
"""The hierarchy, the finest first, each made from the one before it. What concerns all candles iterates over these."""


class CandleSummary(NamedTuple):
    """What a candle table holds."""

    rows: int
    symbols: int
    first_bucket: datetime | None
    last_bucket: datetime | None


class Span(NamedTuple):
    """An interval of time, half-open."""

    begin: datetime
    end: datetime


def refresh_history(cursor: Cursor, candle: Candle) -> None:
    """Materialize all closed buckets that the ticks still cover; the caller must not be in a transaction.

    A policy refreshes its own window only, so what came before it would be missing in the candle.
    """
    kept = kept_ranges(cursor)
    if kept:
        refresh_range(cursor, candle, kept, kept[0].begin, kept[-1].end)


def refresh_range(cursor: Cursor, candle: Candle, kept: Sequence[Span], begin: datetime, end: datetime) -> None:
    """Refresh the closed buckets from `begin` to `end` that the ticks still cover; `kept` comes from `kept_ranges`.

    Nothing before the oldest of them is refreshed, and the candle made from ticks only where there are ticks: a refresh
    of a range without ticks deletes its candles.
    """
    spans = kept if candle.finer is None else [Span(kept[0].begin, kept[-1].end)] if kept else []
    for span in spans:
        refresh(cursor, candle, max(begin, span.begin), min(end, span.end))


def kept_ranges(cursor: Cursor) -> list[Span]:
    """The time that the chunks of the ticks cover, in order; adjacent chunks are joined.

    A chunk that was created after ticks of its time had been counted is left out: retention dropped the first one, and
    a late tick brought it back with nothing else in it.
    """
    cursor.execute(sql_files.read("queries/candles/kept_ranges.sql"))
    return [Span(begin, end) for begin, end in merge(cursor.fetchall())]


def floor(at: datetime, candle: Candle) -> datetime:
    """The begin of the bucket that holds this time."""
    return timestamps.floor(at, candle.bucket)


def refresh(cursor: Cursor, candle: Candle, begin: datetime, end: datetime) -> None:
    """Refresh the closed buckets that lie completely between two times; the caller must not be in a transaction.

    Ticks that arrive in an open bucket that is materialized would stay hidden.
    """
    cursor.execute("SELECT now()")
    (now,) = cursor.fetchone() or (end,)
    begin = floor(begin + candle.bucket - timedelta(microseconds=1), candle)
    end = floor(min(end, now), candle)
    if begin >= end:
        return
    for remaining in reversed(range(REFRESH_ATTEMPTS)):
        try:
            cursor.execute("CALL refresh_continuous_aggregate(%s::regclass, %s, %s)", (candle.name, begin, end))
        except psycopg2.errors.LockNotAvailable:
            # The candle's policy is running; it takes seconds.
            if not remaining:
                raise
            time.sleep(REFRESH_PAUSE)
        else:
            return


def summarize(cursor: Cursor, candle: Candle) -> CandleSummary:
    """Count a candle table. Raises psycopg2.errors.UndefinedTable when it is missing."""
    cursor.execute(
        sql.SQL("SELECT count(*), count(DISTINCT symbol), min(bucket), max(bucket) FROM {}").format(
            sql.Identifier(candle.name)
        )
    )
    row = cursor.fetchone()
    assert row is not None
    return CandleSummary(*row)


def count(cursor: Cursor, candle: Candle, begin: datetime, end: datetime) -> int:
    """How many candles begin in this time."""
    cursor.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE bucket >= %s AND bucket < %s").format(sql.Identifier(candle.name)),
        (begin, end),
    )
    row = cursor.fetchone()
    return int(row[0]) if row else 0
