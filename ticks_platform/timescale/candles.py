"""The candle tables: what is in them, and bringing them up to their ticks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import psycopg2.errors
from psycopg2 import sql

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


REFRESH_ATTEMPTS = 10
REFRESH_PAUSE = 2.0
"""Seconds between attempts while another refresh of the same candle is at work."""


class Candle(NamedTuple):
    """A candle table."""

    name: str
    bucket: timedelta


ONE_MINUTE = Candle("one_minute_candle", timedelta(minutes=1))
ONE_HOUR = Candle("one_hour_candle", timedelta(hours=1))
ONE_DAY = Candle("one_day_candle", timedelta(days=1))


class CandleSummary(NamedTuple):
    """What a candle table holds."""

    rows: int
    symbols: int
    first_bucket: datetime | None
    last_bucket: datetime | None


def refresh_history(cursor: Cursor, candle: Candle) -> None:
    """Materialize all closed buckets that the ticks still cover; the caller must not be in a transaction.

    A policy only ever refreshes its own window, so what came before it would stay out of the candle. The window begins
    at the oldest tick chunk, since a refresh over dropped ticks deletes their candles, and it ends with the last closed
    bucket, since ticks that come to a materialized open bucket stay hidden.
    """
    cursor.execute(
        """
        SELECT min(range_start), least(max(range_end), time_bucket(%s, now()))
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
        """,
        (candle.bucket,),
    )
    start, end = cursor.fetchone() or (None, None)
    if start is None or end - start < candle.bucket:
        return
    for remaining in reversed(range(REFRESH_ATTEMPTS)):
        try:
            cursor.execute("CALL refresh_continuous_aggregate(%s::regclass, %s, %s)", (candle.name, start, end))
        except psycopg2.errors.LockNotAvailable:
            # The candle's policy is at work just now; it takes seconds.
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
