"""Candles that go wrong in silence, each way that is known: it is caught here, or cannot happen.

Others are shown where they belong. Ticks that share a time stamp: test_candles.py. Late ticks, any order, dropped
chunks: test_late_ticks.py, test_reconciliation.py. Ticks and watermarks from the future: test_schema.py,
test_plausibility.py. Volume between buckets: test_volume.py, test_session_day_candle.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.timescale.candles import candles, late_ticks
from ticks_platform.timescale.candles.candles import CANDLES, ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import policies
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.candles import (
    ERROR,
    WARN,
    CheckOne,
    change_hours,
    examples,
    insert,
    number,
    refresh,
    tamper,
)

CANDLE = """
CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT {bucket} AS bucket, symbol, {columns}, max({high}) AS high, min({low}) AS low
FROM {source} GROUP BY 1, 2 WITH NO DATA
"""
OF_TICKS = (
    "first(price, tick_id) AS open, last(price, tick_id) AS close, last(day_volume, tick_id) AS day_volume, "
    "sum(size) AS volume, count(*) AS tick_count, count(price) AS price_count"
)
OF_CANDLES = (
    "first(open, bucket) AS open, last(close, bucket) AS close, last(day_volume, bucket) AS day_volume, "
    "sum(volume) AS volume, sum(tick_count)::bigint AS tick_count, sum(price_count)::bigint AS price_count"
)


def test_buckets_of_a_time_zone_lose_candles_which_are_found_and_healed(
    database: Database, check_one: CheckOne, server_url: str | None
) -> None:
    """timescaledb#10296: of a statement that writes to several chunks, the last candle of a chunk may stay out."""
    with database.transaction() as cursor:
        cursor.execute("DROP MATERIALIZED VIEW one_hour_candle CASCADE")
        cursor.execute(
            CANDLE.format(
                name="one_hour_candle",
                bucket="time_bucket(INTERVAL '1 hour', time, 'Europe/Prague')",
                columns=OF_TICKS,
                high="price",
                low="price",
                source="stocks_real_time",
            )
        )
        cursor.execute("SELECT extract(epoch FROM date_trunc('minute', now()) - date_trunc('day', now(), 'UTC')) / 60")
        (midnight,) = cursor.fetchone() or (0,)
    insert(database, 1, ago=float(midnight) + 60, symbol="FIRST")
    refresh(database, CANDLES[:2])
    insert(database, *range(1, 41), ago=float(midnight) + 40 * 60, every=3600)
    change_hours(database)
    refresh(database, CANDLES[:2])
    with database.transaction() as cursor:
        cursor.execute("SELECT 40 - count(*) FROM one_hour_candle WHERE symbol = 'AAPL'")
        (lost,) = cursor.fetchone() or (0,)
    if server_url is not None:
        assert lost > 0, "this release of TimescaleDB has repaired it"
    found = check_one("candles_equal_finer", ONE_HOUR.name)
    assert found.passed is (lost == 0)
    assert number(found, "candles") == 41
    assert (number(found, "healed"), number(found, "not healed")) == (lost, 0)
    assert check_one("candles_equal_finer", ONE_HOUR.name).passed
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM one_hour_candle WHERE symbol = 'AAPL'")
        assert cursor.fetchone() == (40,)


def test_the_tutorials_policy_fills_no_history_and_the_platform_does(database: Database) -> None:
    """Three hours back, once an hour: what is older stays out, and is hidden by what the policy did materialize."""
    now = candles.floor(datetime.now(timezone.utc), ONE_HOUR)
    insert(database, *[100] * 11, ago=(datetime.now(timezone.utc) - now).total_seconds() // 60 + 600, every=3600)
    change_hours(database)
    with database.transaction() as cursor:
        make_policies(cursor)

    def hours() -> int:
        with database.autocommit() as cursor:
            return candles.count(cursor, ONE_HOUR, now - timedelta(days=1), now + timedelta(days=1))

    assert hours() == 11, "as long as nothing is materialized"
    with database.autocommit() as cursor:
        policy = policies.refresh_policy(cursor, ONE_HOUR.name)
        assert policy is not None
        policies.run(cursor, policy.job_id)
    assert hours() < 6
    with database.autocommit() as cursor:
        late_ticks.refresh(cursor)
    assert hours() == 11


def test_an_open_bucket_that_somebody_materialized_is_found_and_its_ticks_appear(
    database: Database, check_one: CheckOne
) -> None:
    """As refresh_continuous_aggregate(…, NULL, NULL), which many a guide recommends, leaves it."""
    begun = datetime.now(timezone.utc)
    insert(database, 100, ago=0)
    assert check_one("no_ticks_from_the_future").passed
    with database.autocommit() as cursor:
        for level in CANDLES:
            cursor.execute("CALL refresh_continuous_aggregate(%s::regclass, NULL, NULL)", (level.name,))
    insert(database, 200, ago=0, every=2)
    now = datetime.now(timezone.utc)
    found = check_one("no_ticks_from_the_future")
    # Not of buckets that end within the tolerance, or ended meanwhile.
    hidden = {
        level.name for level in CANDLES if candles.floor(begun, level) + level.bucket > now + timedelta(minutes=2)
    }
    shown = {str(row["name"]) for row in examples(found)} if not found.passed else set()
    assert shown >= hidden
    assert found.severity is ERROR
    with database.autocommit() as cursor:
        cursor.execute("CALL refresh_continuous_aggregate('one_day_candle', NULL, NULL)")


def test_days_of_a_time_zone_on_utc_hours_are_found(database: Database, check_one: CheckOne) -> None:
    """An Indian day begins at half past an hour of UTC; TimescaleDB takes such a hierarchy without a word."""
    insert(database, *range(100, 196), ago=60 * 24 * 4, every=3600)
    refresh(database)
    assert check_one("candles_equal_finer", ONE_DAY.name).passed
    with database.transaction() as cursor:
        cursor.execute("DROP MATERIALIZED VIEW one_day_candle CASCADE")
        cursor.execute(
            CANDLE.format(
                name="one_day_candle",
                bucket="time_bucket(INTERVAL '1 day', bucket, 'Asia/Kolkata')",
                columns=OF_CANDLES,
                high="high",
                low="low",
                source="one_hour_candle",
            )
        )
    with database.autocommit() as cursor:
        cursor.execute(
            "CALL refresh_continuous_aggregate('one_day_candle', now() - INTERVAL '6 days', now() - INTERVAL '1 day')"
        )
    found = check_one("candles_equal_finer", ONE_DAY.name)
    assert (found.passed, found.severity) == (False, ERROR)
    assert number(found, "not healed") > 0


@pytest.mark.parametrize(
    ("candle", "statement", "problem"),
    [
        (ONE_MINUTE, "UPDATE {table} SET volume = volume + 1", "the candle is another one"),
        (ONE_MINUTE, "DELETE FROM {table}", "there is no candle"),
        (ONE_HOUR, "UPDATE {table} SET day_volume = 7", "the candle is another one"),
        (ONE_DAY, "UPDATE {table} SET high = high + 1, close = high", "the candle is another one"),
        (ONE_DAY, "DELETE FROM {table}", "there is no candle"),
    ],
    ids=["minute's volume", "minute lost", "hour's day volume", "day's prices", "day lost"],
)
def test_a_candle_written_by_hand_is_found_and_healed_days_later_in_every_level(
    database: Database, check_one: CheckOne, candle: Candle, statement: str, problem: str
) -> None:
    """A candle is a view that can be written to, and an ordinary refresh leaves what was written."""
    insert(database, 100, 103, 99, 101, ago=60 * 24 * 4, day_volume="number * 10")
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET size = 0.1")
    refresh(database)
    for level in CANDLES[1:]:
        assert check_one("candles_equal_finer", level.name).passed
    assert tamper(database, statement, candle.name) == 1
    # A wrong minute shows in its hour, which is recomputed from it no more than the day is.
    seen_by = ONE_DAY if candle is ONE_DAY else ONE_HOUR
    found = check_one("candles_equal_finer", seen_by.name)
    assert (found.passed, found.severity) == (False, WARN)
    assert (number(found, "healed"), number(found, "not healed")) == (1, 0)
    if candle is not ONE_MINUTE:
        assert [row["problem"] for row in examples(found)] == [problem]
    for level in CANDLES[1:]:
        assert check_one("candles_equal_finer", level.name).passed
    with database.transaction() as cursor:
        for level in CANDLES:
            cursor.execute(f"SELECT open, high, low, close, day_volume, volume, tick_count FROM {level.name}")
            assert cursor.fetchall() == [(100, 103, 99, 101, 40, pytest.approx(0.4), 4)], level.name
