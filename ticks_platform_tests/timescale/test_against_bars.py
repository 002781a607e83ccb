"""Candles beside the provider's bars: which minutes differ, and how they are named."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ticks_platform.timescale import quality
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.quality import AgainstBars

TICKS = """
INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates)
SELECT date_trunc('minute', now()) - make_interval(mins => ago), 'AAPL', price, size, gen_random_uuid(), 'tape', now(),
    updates::smallint
FROM (VALUES {}) AS ticks (ago, price, size, updates)
"""
BARS = """
INSERT INTO stock_aggregates
    (symbol, start_time, end_time, open_price, high_price, low_price, close_price, volume, feed, received_at)
SELECT 'AAPL', at, at + INTERVAL '1 minute', price, price, price, price, volume, feed, now()
FROM (VALUES {}) AS bars (ago, price, volume, feed),
    LATERAL (SELECT date_trunc('minute', now()) - make_interval(mins => ago) AS at) AS minute
"""
TOLERANCES = {"tape": 1e-9}


@pytest.fixture
def database(database: Database) -> Database:
    """A candle before all others, since nothing is compared before the first one."""
    fill(database, TICKS, "(60, 100::float8, 10::float8, NULL::smallint)")
    return database


def fill(database: Database, statement: str, rows: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement.format(rows))


def compared(database: Database, *, examples: int = 10) -> AgainstBars:
    with database.transaction() as cursor:
        return quality.against_bars(
            cursor, TOLERANCES, window=timedelta(hours=2), settling=timedelta(minutes=15), examples=examples
        )


def problems(found: AgainstBars) -> list[tuple[str, str, str]]:
    ours, theirs = "candle (open high low close volume)", "the provider's bar"
    assert all({"feed", "symbol", "bucket"} <= row.keys() for row in found.examples)
    return [(row["problem"], row[ours], row[theirs]) for row in reversed(found.examples)]


def test_a_candle_without_prices_and_no_bar_are_the_same(database: Database) -> None:
    fill(database, TICKS, "(50, 7, 30, NULL), (49, 7, 5, 4), (48, 7, 20, 7), (48, 99, 1, 4), (48, 1, 400, 15)")
    fill(database, BARS, "(50, 7, 30, 'tape'), (48, 7, 21, 'tape')")
    assert compared(database) == AgainstBars(2, 0, 1.0, [])


def test_minutes_that_differ_are_named(database: Database) -> None:
    fill(
        database,
        TICKS,
        "(50, 7, 30, NULL), (49, 7, 5, 4), (48, 7, 20, 7), (47, 7, 20, 7), (46, 7, 20, 7), (45, 7, 10, 15), "
        "(44, 8, 1, 7)",
    )
    fill(
        database,
        BARS,
        "(50, 7, 30, 'tape'), (49, 7, 5, 'tape'), (48, 7.001, 20, 'tape'), (47, 7, 20.001, 'tape'), "
        "(45, 7, 10, 'tape'), (44, 8, 1, 'tape'), (43, 8, 1, 'tape')",
    )
    found = compared(database)
    assert problems(found) == [
        ("the candle has no prices", "- - - - 5", "7 7 7 7 5"),
        ("prices differ", "7 7 7 7 20", "7.001 7.001 7.001 7.001 20"),
        ("volumes differ", "7 7 7 7 20", "7 7 7 7 20.001"),
        ("there is no bar", "7 7 7 7 20", "- - - - -"),
        ("the candle has no prices", "- - - - -", "7 7 7 7 10"),
        ("there is no candle", "- - - - -", "8 8 8 8 1"),
    ]
    assert (found.minutes, found.differing) == (8, 6)
    assert found.share == pytest.approx((30 + 5 + 20 + 20 + 0 + 1) / (30 + 5 + 20 + 20.001 + 10 + 1 + 1))
    few = compared(database, examples=2)
    assert (few.differing, problems(few)) == (6, problems(found)[-2:])


def test_bars_of_secondary_feeds_and_missed_ones_are_no_difference(database: Database) -> None:
    fill(
        database, TICKS, "(50, 7, 30, NULL), (49, 7, 30, NULL), (48, 7, 30, NULL), (46, 7, 30, NULL), (45, 7, 1, NULL)"
    )
    fill(
        database,
        BARS,
        "(50, 7, 30, 'tape'), (50, 8, 1, 'other'), (48, 9, 9, 'tape'), (46, 7, 30, 'tape'), (13, 8, 1, 'tape')",
    )
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('tape', 'x', true);"
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "SELECT 'tape', 'AAPL', at, at + INTERVAL '1 second', 'disconnected' "
            "FROM (SELECT date_trunc('minute', now()) - INTERVAL '47 min 50 s' AS at) AS gap"
        )
    # The bar of 49 minutes ago was to arrive in the gap, that of 48 lies in it, and that of 45 may still come.
    assert compared(database) == AgainstBars(2, 0, 1.0, [])
