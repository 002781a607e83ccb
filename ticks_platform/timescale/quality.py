"""Data-quality queries: the SQL is in ``sql/checks/``, the verdicts are the checks' own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class BrokenCandles(NamedTuple):
    """How many candles were looked at, how many are broken, and some of those, newest first."""

    candles: int
    broken: int
    examples: list[dict[str, Any]]


class Freshness(NamedTuple):
    """When a feed's last tick arrived; None when none was ever loaded."""

    feed: str
    enabled: bool
    last_received_at: datetime | None
    age_seconds: float | None


def broken_candles(cursor: Cursor, candle: Candle, *, days: int) -> BrokenCandles:
    """Candles of the last `days` days that break an OHLC invariant."""
    query = sql.SQL(sql_files.read("checks/ohlc_invariants.sql")).format(candle=sql.Identifier(candle.name))
    cursor.execute(query, {"days": days})
    row = cursor.fetchone()
    assert row is not None
    return BrokenCandles(*row)


class Channels(NamedTuple):
    """What is known of the channels that a feed has asked for."""

    feed: str
    subscribed: int
    failed: int
    silent: int
    examples: list[dict[str, Any]]
    """The newest in trouble: channel, state, since, detail."""


def channels(cursor: Cursor, feeds: Sequence[str]) -> list[Channels]:
    """The channels of those of these feeds that are switched on and have asked for any."""
    cursor.execute(sql_files.read("checks/channels_are_streaming.sql"), {"feeds": list(feeds)})
    return [Channels(*row) for row in cursor.fetchall()]


def freshness(cursor: Cursor, feeds: Sequence[str]) -> list[Freshness]:
    """When the last tick of each of these feeds arrived; feeds that the database has never seen are left out."""
    cursor.execute(sql_files.read("checks/ticks_are_fresh.sql"), {"feeds": list(feeds)})
    return [Freshness(*row) for row in cursor.fetchall()]
