"""Rows of the tutorial's four columns, and the candles that they make, computed without the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows

MINUTE = timedelta(minutes=1)


class Row(NamedTuple):
    time: datetime
    symbol: str
    price: float
    day_volume: int | None


def made_of(given: Sequence[Row], width: timedelta) -> dict[tuple[datetime, str], tuple[Any, ...]]:
    """The candles of rows in their order of arrival, by hand: by time, and by arrival where times are equal."""
    buckets: dict[tuple[datetime, str], list[Row]] = {}
    for row in sorted(given, key=lambda row: row.time):
        begin = datetime.fromtimestamp(
            row.time.timestamp() // width.total_seconds() * width.total_seconds(), timezone.utc
        )
        buckets.setdefault((begin, row.symbol), []).append(row)
    return {
        key: (
            bucket[0].price,
            max(row.price for row in bucket),
            min(row.price for row in bucket),
            bucket[-1].price,
            ([None] + [row.day_volume for row in bucket if row.day_volume is not None])[-1],
            None,
            len(bucket),
        )
        for key, bucket in buckets.items()
    }


def stored(database: Database, candle: str = "one_minute_candle") -> dict[tuple[datetime, str], tuple[Any, ...]]:
    query = f"SELECT bucket, symbol, open, high, low, close, day_volume, volume, tick_count FROM {candle}"
    return {(bucket, symbol): tuple(rest) for bucket, symbol, *rest in rows(database, query)}
