"""Candles against plain SQL over the same ticks."""

from __future__ import annotations

import contextlib
import io
import random
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import psycopg2

from ticks_platform.feeds.events import Tick
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES, ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import policies
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.dagster_dev import eventually

NANOSECONDS = 1_000_000_000

# Arrival order by the position in tick_id, without first() and last(): what the candles have to agree with.
TRUTH = """
SELECT bucket, symbol, (array_agg(price ORDER BY tick_id))[1] AS open, max(price) AS high, min(price) AS low,
       (array_agg(price ORDER BY tick_id DESC))[1] AS close,
       (array_agg(day_volume ORDER BY tick_id DESC))[1] AS day_volume,
       count(*) AS tick_count
FROM (
    SELECT *, date_trunc(%(unit)s, time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS bucket FROM stocks_real_time
) AS ticks
GROUP BY bucket, symbol ORDER BY bucket, symbol
"""


def load(database: Database, ticks: list[tuple[int, Tick]]) -> None:
    """Store ticks, given with their positions, in the order given."""
    arrived = max(tick.time for _, tick in ticks)
    batch = Rows(
        [tick for _, tick in ticks],
        np.array([position for position, _ in ticks], dtype=np.int64),
        np.full(len(ticks), arrived, dtype=np.int64),
    )
    with database.transaction() as cursor:
        encoded = TICKS.encode(batch, "test", 1)
        cursor.copy_expert(
            f"COPY stocks_real_time ({', '.join(TICKS.columns)}) FROM STDIN (FORMAT binary)", io.BytesIO(encoded)
        )


def many_ticks_a_second(begin: datetime, seconds: int) -> list[tuple[int, Tick]]:
    """Ticks stamped in whole seconds, several a second for each symbol, in shuffled order."""
    seeded = random.Random(5)
    start = int(begin.timestamp())
    ticks = [
        (position, Tick(symbol, (start + second) * NANOSECONDS, round(seeded.uniform(90, 110), 2), position))
        for position, (second, symbol) in enumerate(
            (second, symbol) for second in range(seconds) for symbol in ("AAPL", "BTC/USD") for _ in range(4)
        )
    ]
    seeded.shuffle(ticks)
    return ticks


def candle_rows(database: Database, name: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(
            f"SELECT bucket, symbol, open, high, low, close, day_volume, tick_count FROM {name} ORDER BY bucket, symbol"
        )
        return cursor.fetchall()


def truth(database: Database, unit: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(TRUTH, {"unit": unit})
        return cursor.fetchall()


def test_candles_equal_plain_sql_though_many_ticks_share_a_second(database: Database) -> None:
    load(database, many_ticks_a_second(datetime(2026, 1, 5, 22, 50, tzinfo=timezone.utc), 4500))
    assert candle_rows(database, "one_minute_candle") == truth(database, "minute"), "computed live"
    assert candle_rows(database, "one_hour_candle") == truth(database, "hour"), "computed live"
    assert candle_rows(database, "one_day_candle") == truth(database, "day"), "computed live"
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
        candles.refresh_history(cursor, ONE_HOUR)
        candles.refresh_history(cursor, ONE_DAY)
    assert candle_rows(database, "one_minute_candle") == truth(database, "minute"), "materialized"
    assert candle_rows(database, "one_hour_candle") == truth(database, "hour"), "materialized"
    assert candle_rows(database, "one_day_candle") == truth(database, "day"), "materialized"
    assert len(truth(database, "day")) == 4
    assert len(truth(database, "hour")) == 6


def test_a_compressed_chunk_makes_the_same_candles(database: Database) -> None:
    """timescaledb#1620: compressing sorts rows again, and first() and last() by time pick others of one second then."""
    begin = datetime(2026, 1, 5, 22, 50, tzinfo=timezone.utc)
    load(database, many_ticks_a_second(begin, 4500))
    with database.autocommit() as cursor:
        for candle in (ONE_MINUTE, ONE_HOUR, ONE_DAY):
            candles.refresh_history(cursor, candle)
        by_time = "SELECT time_bucket('1 minute', time), symbol, first(price, time), last(price, time) {} GROUP BY 1, 2"
        by_time = by_time.format("FROM stocks_real_time") + " ORDER BY 1, 2"
        cursor.execute(by_time)
        before = cursor.fetchall()
        cursor.execute("SELECT count(compress_chunk(chunk)) FROM show_chunks('stocks_real_time') AS chunk")
        assert cursor.fetchone() == (2,)
        cursor.execute(by_time)
        assert cursor.fetchall() != before, "these ticks would not show it"
        for candle in (ONE_MINUTE, ONE_HOUR, ONE_DAY):
            cursor.execute(
                "CALL refresh_continuous_aggregate(%s::regclass, %s, %s, force => true)",
                (candle.name, begin - timedelta(days=1), begin + timedelta(days=3)),
            )
    assert candle_rows(database, "one_minute_candle") == truth(database, "minute")
    assert candle_rows(database, "one_hour_candle") == truth(database, "hour")
    assert candle_rows(database, "one_day_candle") == truth(database, "day")


def test_late_ticks_reach_the_candles_with_the_next_refresh(database: Database) -> None:
    begin = datetime(2026, 1, 5, 22, 50, tzinfo=timezone.utc)
    ticks = many_ticks_a_second(begin, 600)
    load(database, ticks[: len(ticks) // 2])
    for part in (ticks[len(ticks) // 2 :], []):
        with database.autocommit() as cursor:
            candles.refresh_history(cursor, ONE_MINUTE)
            candles.refresh_history(cursor, ONE_HOUR)
        if part:
            load(database, part)
    assert candle_rows(database, "one_minute_candle") == truth(database, "minute")
    assert candle_rows(database, "one_hour_candle") == truth(database, "hour")


def test_refreshing_history_leaves_the_open_bucket_live(database: Database) -> None:
    now = time.time_ns() // NANOSECONDS * NANOSECONDS
    load(database, [(1, Tick("AAPL", now, 10.0))])
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
    load(database, [(2, Tick("AAPL", now, 11.0))])
    latest = candle_rows(database, "one_minute_candle")[-1]
    assert latest[5] == 11.0, "a tick of the open minute is seen although a refresh came between"


def test_refreshing_without_ticks_does_nothing(database: Database) -> None:
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
        assert candles.summarize(cursor, ONE_MINUTE) == (0, 0, None, None)


def _ran(cursor: Any, job: int) -> bool:
    with contextlib.suppress(psycopg2.errors.LockNotAvailable):
        policies.run(cursor, job)
        return True
    return False


def test_the_minute_policy_materializes_the_last_hours(database: Database) -> None:
    newest_candles = datetime.now(timezone.utc) - timedelta(hours=2)
    load(database, many_ticks_a_second(newest_candles.replace(second=0, microsecond=0), 120))
    with database.transaction() as cursor:
        make_policies(cursor)
    with database.autocommit() as cursor:
        policy = policies.refresh_policy(cursor, "one_minute_candle")
        assert policy is not None
        job = policy.job_id
        # A native server begins with it by itself, perhaps at this moment.
        eventually("the policy has run", 60, lambda: _ran(cursor, job))
        cursor.execute(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'"
        )
        (materialization,) = cursor.fetchone()
        cursor.execute(f"SELECT count(*) FROM {materialization}")
        assert cursor.fetchone() == (4,)


def test_when_a_policy_is_due() -> None:
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    at = datetime(2026, 1, 5, 10, 0, tzinfo=timezone.utc)
    assert policies.is_due(hour, at, at - minute)
    assert not policies.is_due(hour, at + minute, at)
    assert policies.is_due(minute, at + minute, at)


def test_the_hierarchy_is_that_of_the_database(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT made.view_name, coalesce(parent.view_name, made.hypertable_name), made.view_definition "
            "FROM timescaledb_information.continuous_aggregates AS made "
            "LEFT JOIN timescaledb_information.continuous_aggregates AS parent "
            "ON parent.materialization_hypertable_name = made.hypertable_name"
        )
        found = {name: (source, definition) for name, source, definition in cursor.fetchall()}
        assert {name: source for name, (source, _) in found.items()} == {each.name: each.source for each in CANDLES}
        for candle in CANDLES:
            cursor.execute("SELECT %s::text", (candle.bucket,))
            (width,) = cursor.fetchone() or ("",)
            assert f"time_bucket('{width}'::interval" in found[candle.name][1]
        cursor.execute(sql_files.read("queries/rebuild/dependents.sql"), {"candles": [each.name for each in CANDLES]})
        views = {view.name for candle in CANDLES for view in candle.views}
        assert {name for name, *_ in cursor.fetchall()} == views


def test_each_candle_is_made_from_the_one_before_it() -> None:
    assert [candle.finer for candle in CANDLES] == [None, *CANDLES[:-1]]
    assert all(candle.bucket % candle.finer.bucket == timedelta(0) for candle in CANDLES if candle.finer)
