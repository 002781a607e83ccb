"""The newest candles of the busiest symbols, for a chart."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

MOST_CANDLES = 120
"""Most candles in a panel of the chart."""
COMBINED = (1, 5, 15, 30, 60)
"""How many candles may be combined into one, so that no more than MOST_CANDLES are drawn."""

Row = tuple[str, datetime, float, float, float, float]


class NewestCandles(NamedTuple):
    """Candles of `step` each; rows are symbol, begin, open, high, low, close, the busiest symbol first."""

    step: timedelta
    rows: list[Row]


def newest_candles(cursor: Cursor, candle: Candle, last_bucket: datetime, *, symbols: int) -> NewestCandles:
    """The candles of the last session, which is the UTC day of the newest candle.

    Of candles of an hour and more a session has too few: those are the last 120 buckets.
    """
    start = last_bucket.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    if candle.bucket >= timedelta(hours=1):
        start = last_bucket - (MOST_CANDLES - 1) * candle.bucket
    name = sql.Identifier(candle.name)
    cursor.execute(sql.SQL("SELECT min(bucket) FROM {} WHERE bucket >= %s").format(name), (start,))
    (first,) = cursor.fetchone() or (None,)
    if first is None:
        return NewestCandles(candle.bucket, [])
    count = (last_bucket - first) / candle.bucket + 1
    step = candle.bucket * next((many for many in COMBINED if count <= many * MOST_CANDLES), COMBINED[-1])
    query = sql_files.compose("queries/charts/newest_candles.sql", candle=name)
    cursor.execute(query, {"start": start, "step": step, "symbols": symbols})
    # A candle of volume alone has no prices, and leaves its place empty.
    rows = []
    for symbol, at, *prices in cursor.fetchall():
        opened, high, low, closed = (math.nan if price is None else price for price in prices)
        rows.append((symbol, at, opened, high, low, closed))
    return NewestCandles(step, rows)
