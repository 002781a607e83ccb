"""Candles of ticks that arrived too late for the refresh policies: finding and refreshing them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES, ONE_DAY, ONE_HOUR, Candle, Span
from ticks_platform.timescale.policies import policies

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_UP_TO_HOURS = tuple(candle for candle in CANDLES if candle.bucket <= ONE_HOUR.bucket)
_EVERYTHING = timedelta(days=36_500)


class Bucket(NamedTuple):
    """A bucket of a candle, and how many of its ticks were loaded when it was found."""

    begin: datetime
    loaded: int | None
    """None if only rows by hand have changed it: nobody counts those."""


class Late(NamedTuple):
    """The hours and days with ticks that no refresh has materialized."""

    hours: list[Bucket]
    days: list[Bucket]


def find(cursor: Cursor) -> Late:
    """The closed hours and days before the policies' windows whose ticks are not those of the last refresh.

    The loader has counted its ticks; what rows by hand have changed is in the database's record of changes. Those that
    retention has begun to drop are left out: a refresh would replace the candle by one of the late ticks.
    """
    window = _window(cursor)
    kept = candles.kept_ranges(cursor)
    if not kept:
        return Late([], [])
    hours = _changed(cursor, ONE_HOUR, window)
    hours = _joined(hours, _changed_by_hand(cursor, _UP_TO_HOURS, window, kept))
    days = _joined(_changed(cursor, ONE_DAY, window), _changed_by_hand(cursor, (ONE_DAY,), window, kept))
    return Late(
        [
            hour
            for hour in hours
            if any(begin <= hour.begin and hour.begin + ONE_HOUR.bucket <= end for begin, end in kept)
        ],
        [day for day in days if day.begin >= kept[0].begin],
    )


def refresh(cursor: Cursor) -> Late:
    """Refresh what `find` finds, day by day: minutes, then their hours, then the day. Returns what it refreshed.

    The caller must not be in a transaction. Each day is recorded when it is done: an interrupted refresh resumes there.
    """
    late = find(cursor)
    hours: dict[datetime, list[Bucket]] = {}
    for hour in late.hours:
        hours.setdefault(candles.floor(hour.begin, ONE_DAY), []).append(hour)
    days = {day.begin: day for day in late.days}
    for begin, changed in hours.items():
        # The database does not record the change of a day before its hours are refreshed.
        if any(hour.loaded is None for hour in changed):
            days.setdefault(begin, Bucket(begin, None))
    for begin in sorted(hours.keys() | days.keys()):
        for first, end in merge((hour.begin, hour.begin + ONE_HOUR.bucket) for hour in hours.get(begin, [])):
            for candle in _UP_TO_HOURS:
                candles.refresh(cursor, candle, first, end)
        _record(cursor, ONE_HOUR, hours.get(begin, []))
        if begin in days:
            candles.refresh(cursor, ONE_DAY, begin, begin + ONE_DAY.bucket)
            _record(cursor, ONE_DAY, [days[begin]])
    return late._replace(days=[days[begin] for begin in sorted(days)])


def _window(cursor: Cursor) -> timedelta:
    """How far back the refresh policies of minutes and hours all reach: later ticks are theirs to refresh."""
    reach = _EVERYTHING
    for candle in _UP_TO_HOURS:
        policy = policies.refresh_policy(cursor, candle.name)
        if policy is None:
            return timedelta(0)
        if policy.start_offset is not None:
            cursor.execute("SELECT %s::interval", (policy.start_offset,))
            row = cursor.fetchone()
            assert row is not None
            reach = min(reach, row[0])
    return reach


def _changed(cursor: Cursor, candle: Candle, window: timedelta) -> list[Bucket]:
    parameters = {"width": candle.bucket, "candle": candle.name, "window": window}
    cursor.execute(sql_files.read("queries/candles/buckets_with_late_ticks.sql"), parameters)
    return [Bucket(*row) for row in cursor.fetchall()]


def _changed_by_hand(cursor: Cursor, levels: Sequence[Candle], window: timedelta, kept: Sequence[Span]) -> list[Bucket]:
    """The buckets of the last of these candles in which one of them lacks a change by hand."""
    coarsest = levels[-1]
    query = sql_files.compose("queries/candles/buckets_changed_by_hand.sql", candle=sql.Identifier(coarsest.name))
    parameters = {
        "width": coarsest.bucket,
        "made": [level.name for level in levels],
        "window": window,
        "begins": [span.begin for span in kept],
        "ends": [span.end for span in kept],
    }
    cursor.execute(query, parameters)
    return [Bucket(begin, None) for (begin,) in cursor.fetchall()]


def _joined(counted: Sequence[Bucket], others: Sequence[Bucket]) -> list[Bucket]:
    buckets = {bucket.begin: bucket for bucket in (*others, *counted)}
    return [buckets[begin] for begin in sorted(buckets)]


def _record(cursor: Cursor, candle: Candle, buckets: Sequence[Bucket]) -> None:
    by_hand = [bucket.begin for bucket in buckets if bucket.loaded is None]
    if by_hand:
        query = sql_files.read("queries/candles/record_refreshes_by_hand.sql")
        cursor.execute(query, {"candle": candle.name, "buckets": by_hand})
    buckets = [bucket for bucket in buckets if bucket.loaded is not None]
    cursor.execute(
        sql_files.read("queries/candles/record_refreshes.sql"),
        {
            "candle": candle.name,
            "buckets": [bucket.begin for bucket in buckets],
            "loaded": [bucket.loaded for bucket in buckets],
        },
    )


def refresh_days(cursor: Cursor, begin: datetime, end: datetime) -> dict[str, int]:
    """Refresh these UTC days in all candles, and return how many rows each has there.

    The caller must not be in a transaction. What the ticks no longer cover stays as it is.
    """
    kept = candles.kept_ranges(cursor)
    counted = {}
    for candle in CANDLES:
        candles.refresh_range(cursor, candle, kept, begin, end)
        query = sql_files.read("queries/candles/touch_refreshes.sql")
        cursor.execute(query, {"candle": candle.name, "begin": begin, "end": end})
        counted[candle.name] = candles.count(cursor, candle, begin, end)
    return counted
