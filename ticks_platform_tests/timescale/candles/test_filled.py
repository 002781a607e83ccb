"""The provider's bars in the minutes of gaps, and candles of volume alone beside them."""

from __future__ import annotations

from typing import Any

from ticks_platform.timescale.database import Database

DATA = """
INSERT INTO ticks_platform.feed (feed, provider, synthetic, candles)
VALUES ('tape', 'x', true, true), ('other', 'x', true, false);
INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, found_at)
SELECT feed, 'AAPL', '2026-01-05 14:31+00', '2026-01-05 14:33+00', 'disconnected', '2026-01-05 14:40+00'
FROM (VALUES ('tape'), ('other')) AS gaps (feed);
INSERT INTO stock_aggregates
(symbol, start_time, end_time, open_price, high_price, low_price, close_price, volume, feed, received_at)
SELECT 'AAPL', at, at + INTERVAL '1 minute', 9, 9, 9, 9, 90, feed, at + INTERVAL '90 s'
FROM (VALUES
    ('tape', '2026-01-05 14:30+00'::timestamptz), ('tape', '2026-01-05 14:31+00'), ('other', '2026-01-05 14:32+00')
) AS bars (feed, at);
INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates)
SELECT at, 'AAPL', 5, 50, gen_random_uuid(), 'tape', at, updates
FROM (VALUES
    ('2026-01-05 14:30:01+00'::timestamptz, 4), ('2026-01-05 14:31:01+00', 7), ('2026-01-05 14:32:01+00', NULL)
) AS ticks (at, updates);
"""


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_bars_fill_gaps_of_the_feed_that_makes_the_candles(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(DATA)
    found = rows(
        database,
        "SELECT to_char(bucket AT TIME ZONE 'UTC', 'HH24:MI'), open, close, volume, tick_count, source "
        "FROM one_minute_candle_filled ORDER BY bucket",
    )
    assert found == [
        ("14:30", None, None, 50.0, 1, "ticks"),
        ("14:31", 9.0, 9.0, 90.0, None, "bars"),
        ("14:32", 5.0, 5.0, 50.0, 1, "ticks"),
    ], "volume alone is no gap, and a gap of a secondary feed is none of the candles"
    assert rows(database, "SELECT volume, derived FROM one_minute_candle_volume ORDER BY bucket") == [(50.0, False)] * 3
