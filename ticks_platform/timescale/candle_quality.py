"""Queries that judge the candles: the SQL is in ``sql/checks/``, the verdicts are the checks' own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import Candle
from ticks_platform.timescale.candles.reconciliation import LEVELS

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class Finding(NamedTuple):
    """How many were judged, how many of them offend, and up to ten of those."""

    judged: int
    offending: int
    examples: list[dict[str, Any]]


def _ask(cursor: Cursor, file: str, **parameters: Any) -> Finding:
    cursor.execute(sql_files.read(f"checks/{file}.sql"), parameters)
    return Finding(*(cursor.fetchone() or (0, 0, [])))


def from_the_future(cursor: Cursor, *, tolerance: timedelta) -> Finding:
    """Ticks, candles and watermarks that are ahead of now."""
    return _ask(cursor, "no_ticks_from_the_future", tolerance=tolerance, candles=[level.name for level in LEVELS])


def impossible_prices(cursor: Cursor, *, window: timedelta) -> Finding:
    """Recent ticks whose price is missing, not finite, or not positive."""
    return _ask(cursor, "prices_are_positive_and_finite", window=window)


def duplicate_buckets(cursor: Cursor, candle: Candle, *, window: timedelta) -> Finding:
    """Recent candles that are there more than once."""
    query = sql.SQL(sql_files.read("checks/no_duplicate_bucket.sql")).format(candle=sql.Identifier(candle.name))
    cursor.execute(query, {"window": window})
    return Finding(*(cursor.fetchone() or (0, 0, [])))


def falling_volumes(cursor: Cursor, *, window: timedelta) -> Finding:
    """Recent candles in which the cumulative volume of the day falls."""
    return _ask(cursor, "day_volume_is_monotone", window=window)


def jumps(cursor: Cursor, *, judged: timedelta, window: timedelta, limit: float, enough: int) -> Finding:
    """Recent returns that are out of all proportion to the others of their symbol."""
    return _ask(cursor, "prices_do_not_jump", judged=judged, window=window, limit=limit, enough=enough)


class Session(NamedTuple):
    """A time in which a symbol is traded; it is judged, or says what is usual."""

    symbol: str
    judged: bool
    begin: datetime
    end: datetime


class Completeness(NamedTuple):
    """Minutes in session of a symbol, and those of them with a candle."""

    symbol: str
    expected: float
    present: float
    usually_expected: float
    usually_present: float


def enabled_feeds(cursor: Cursor, feeds: Sequence[str]) -> set[str]:
    """Those of these feeds that are switched on."""
    cursor.execute(sql_files.read("checks/enabled_feeds.sql"), {"feeds": list(feeds)})
    return {feed for (feed,) in cursor.fetchall()}


def completeness(cursor: Cursor, feeds: Collection[str], sessions: Sequence[Session]) -> list[Completeness]:
    """How many minutes of these sessions have a candle, by symbol; those in gaps of the feeds are left out."""
    if not sessions:
        return []
    cursor.execute(
        sql_files.read("checks/session_is_complete.sql"),
        {
            "feeds": list(feeds),
            "symbols": [session.symbol for session in sessions],
            "judged": [session.judged for session in sessions],
            "begins": [session.begin for session in sessions],
            "ends": [session.end for session in sessions],
            "begin": min(session.begin for session in sessions),
            "end": max(session.end for session in sessions),
        },
    )
    return [Completeness(*row) for row in cursor.fetchall()]


class AgainstBars(NamedTuple):
    """Our candles of a minute beside the provider's bars."""

    minutes: int
    differing: int
    share: float | None
    """The part of the bars' volume that our ticks have; None where there are no volumes."""
    examples: list[dict[str, Any]]


def against_bars(
    cursor: Cursor, tolerances: Mapping[str, float], *, window: timedelta, settling: timedelta
) -> AgainstBars:
    """Compare the candles of the last `window`, up to `settling` ago; `tolerances` are relative, by feed."""
    cursor.execute(
        sql_files.read("checks/candles_equal_bars.sql"),
        {
            "feeds": list(tolerances),
            "tolerances": list(tolerances.values()),
            "window": window,
            "settling": settling,
        },
    )
    return AgainstBars(*(cursor.fetchone() or (0, 0, None, [])))


class Refreshing(NamedTuple):
    """A refresh policy of a candle, how its last run went, and how far the candle is."""

    job_id: int | None
    """None when the candle has no policy."""
    scheduled: bool | None
    interval_seconds: float | None
    failed: bool
    error: str | None
    """The database's own text of the newest error it remembers, be it past or not."""
    success_age_seconds: float | None
    lag_seconds: float | None
    """From where the candle is materialized up to, to now."""
    behind: bool
    """Whether ticks that the policy should have come to are not materialized."""


def refreshing(cursor: Cursor, candle: Candle, *, slack: timedelta) -> list[Refreshing]:
    """How the refresh policies of a candle fare; empty when there is no such candle."""
    cursor.execute(
        sql_files.read("checks/refreshes_keep_up.sql"), {"candle": candle.name, "width": candle.bucket, "slack": slack}
    )
    return [Refreshing(*row) for row in cursor.fetchall()]
