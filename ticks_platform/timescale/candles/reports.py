"""What is reported of candles, ticks and other rows every few minutes: little, and cheap to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.candles.candles import Candle

STATEMENT_SECONDS = 5
"""The longest that a statement of a report may take: reports are made beside more important work."""

BARS = 60
"""Candles of a symbol in a report."""

COUNTED = 5
"""Newest buckets in which a symbol is counted."""

SETTLED = timedelta(seconds=65)
"""How long after its end a bucket counts as closed: what arrives until then is no correction."""

MOST_REFRESHED = 2000
"""Newest buckets that were refreshed for late ticks which are looked at each time."""

WINDOWS = {"one_hour_candle": timedelta(hours=6), "one_day_candle": timedelta(days=5)}
"""How far back closed buckets are looked at each time: what their refresh policies reach, and a bucket or two."""


class Bar(NamedTuple):
    """A candle; one of volume alone has no prices."""

    bucket: datetime
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    ticks: int


class CandleReport(NamedTuple):
    """The newest candles."""

    newest: datetime
    """Begin of the newest bucket, open or closed."""
    closed: datetime | None
    """Begin of the newest closed bucket; None while the first one is open."""
    symbols: int
    """How many symbols have one of the newest five candles."""
    bars: dict[str, list[Bar]]
    """Of some symbols, the newest candles, oldest first."""


class FeedReport(NamedTuple):
    """How a feed is. Times are seconds; None where nothing is known."""

    feed: str
    enabled: bool
    heartbeat_age: float | None
    released: bool
    state: str | None
    detail: str | None
    loaded: int
    rejected: int
    connections: int
    """Of the last day."""
    lag: float | None


class NewestRows(NamedTuple):
    """The newest row of a table, and what its last five minutes have."""

    at: datetime
    rows: int
    symbols: int


def limit_statements(cursor: Cursor) -> None:
    """Limit the statements of this transaction, which must not write."""
    cursor.execute("SET TRANSACTION READ ONLY")
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", (f"{STATEMENT_SECONDS}s",))


def candles(cursor: Cursor, candle: Candle, *, preferred: Sequence[str], limit: int) -> CandleReport | None:
    """The newest candles of up to `limit` symbols, the preferred ones first; None without a candle of ten days."""
    name = sql.Identifier(candle.name)
    cursor.execute(sql_files.compose("queries/reports/newest_buckets.sql", candle=name), {"width": candle.bucket})
    newest, closed = cursor.fetchone() or (None, None)
    if newest is None:
        return None
    arguments = {"newest": newest, "after": newest - COUNTED * candle.bucket}
    cursor.execute(
        sql_files.compose("queries/reports/symbols.sql", candle=name),
        {**arguments, "preferred": list(preferred), "limit": limit},
    )
    found = cursor.fetchall()
    bars: dict[str, list[Bar]] = {symbol: [] for symbol, _ in found}
    arguments = {"newest": newest, "after": newest - BARS * candle.bucket, "symbols": list(bars)}
    cursor.execute(sql_files.compose("queries/reports/candles.sql", candle=name), arguments)
    for symbol, *rest in cursor.fetchall():
        bars[symbol].append(Bar(*rest))
    return CandleReport(newest, closed, found[0][1] if found else 0, bars)


def closed_buckets(cursor: Cursor, candle: Candle, since: datetime) -> dict[datetime, str]:
    """The closed buckets that may have changed since, each with a digest of its candles."""
    arguments = {
        "candle": candle.name,
        "width": candle.bucket,
        "settled": SETTLED,
        "window": WINDOWS[candle.name],
        "since": since,
        "most": MOST_REFRESHED,
    }
    query = sql_files.compose("queries/reports/closed_buckets.sql", candle=sql.Identifier(candle.name))
    cursor.execute(query, arguments)
    return dict(cursor.fetchall())


def late_hours(cursor: Cursor, since: datetime) -> list[datetime]:
    """The hours to which ticks came since, after the hour's end."""
    cursor.execute(sql_files.read("queries/reports/late_hours.sql"), {"since": since, "settled": SETTLED})
    return [hour for (hour,) in cursor.fetchall()]


def feeds(cursor: Cursor, names: Sequence[str]) -> list[FeedReport]:
    """How these feeds are; one that the database has never seen is left out."""
    wanted = sql.Literal(list(names))
    status = sql_files.compose("queries/feeds/status.sql", feeds=wanted)
    cursor.execute(sql_files.compose("queries/reports/feeds.sql", status=status, feeds=wanted))
    return [FeedReport(*row) for row in cursor.fetchall()]


def newest_rows(cursor: Cursor, table: str, time: str) -> NewestRows | None:
    """The newest row of a table by a column of times; None where the last day has none."""
    names = {"table": sql.Identifier(table), "time": sql.Identifier(time)}
    cursor.execute(sql_files.compose("queries/reports/newest_rows.sql", **names))
    row = cursor.fetchone()
    return None if row is None else NewestRows(*row)
