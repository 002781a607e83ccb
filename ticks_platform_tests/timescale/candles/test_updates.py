"""Candles take each value from the ticks that may change it, in every state of a chunk, as a loop over them does."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

from ticks_platform import timestamps
from ticks_platform.feeds.events import Tick
from ticks_platform.timescale import quality
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.timescale.candles.test_candles import NANOSECONDS, load

BEGIN = datetime(2026, 1, 5, 22, 50, tzinfo=timezone.utc)
SECONDS = 5400
COLUMNS = "bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count"

Row = tuple[Any, ...]


def tape() -> list[tuple[int, Tick]]:
    """Ticks of two symbols over three hours of two days, in shuffled order: minutes with and without prices."""
    seeded = random.Random(13)
    start = int(BEGIN.timestamp())
    ticks = []
    for second in range(0, SECONDS, 4):
        for symbol in ("AAPL", "QUIET"):
            # Of QUIET most minutes have no tick that may open or close.
            often = symbol == "AAPL" or (second // 60) % 7 == 0
            updates = seeded.choice(
                (None, None, 7, 6, 4, 0, 15, 12, 20, 23, 31) if often else (6, 4, 0, 12, 15, 22, 23)
            )
            ticks.append(
                Tick(
                    symbol,
                    (start + second) * NANOSECONDS,
                    float(seeded.randrange(900, 1100)) / 8,
                    float(second) + 0.5,
                    float(seeded.randrange(0, 64)) / 4,
                    updates=updates,
                )
            )
    numbered = list(enumerate(ticks))
    seeded.shuffle(numbered)
    return numbered


def stored(database: Database) -> list[Row]:
    with database.transaction() as cursor:
        cursor.execute("SELECT time, symbol, price, day_volume, size, updates FROM stocks_real_time ORDER BY tick_id")
        return cursor.fetchall()


def expected(ticks: list[Row], width: timedelta) -> list[Row]:
    """The rules of a candle, as a loop: `ticks` in order of arrival. Hours follow from minutes, days from hours."""
    buckets: dict[tuple[datetime, str], dict[str, Any]] = {}
    for at, symbol, price, day_volume, size, updates in ticks:
        made = buckets.setdefault(
            (timestamps.floor(at, timedelta(minutes=1)), symbol),
            {"edges": [], "prices": [], "volumes": [], "sizes": [], "ticks": 0},
        )
        bits = {value for value in (1, 2, 4, 8, 16) if (7 if updates is None else updates) // value % 2}
        made["ticks"] += 1
        if bits & {8, 16}:
            continue
        made["edges"] += [price] if 1 in bits else []
        made["prices"] += [price] if 2 in bits else []
        made["volumes"] += [day_volume] if 4 in bits else []
        made["sizes"] += [size] if 4 in bits else []
    rows: dict[tuple[datetime, str], list[Any]] = {}
    for (minute, symbol), made in sorted(buckets.items()):
        has_prices = bool(made["edges"])
        row = rows.setdefault((timestamps.floor(minute, width), symbol), [None, None, None, None, None, None, 0, 0])
        if has_prices:
            row[0] = made["edges"][0] if row[0] is None else row[0]
            row[1] = max(made["prices"] + ([] if row[1] is None else [row[1]]))
            row[2] = min(made["prices"] + ([] if row[2] is None else [row[2]]))
            row[3] = made["edges"][-1]
            row[7] += len(made["prices"])
        if made["volumes"]:
            row[4] = made["volumes"][-1]
            row[5] = (row[5] or 0.0) + sum(made["sizes"])
        row[6] += made["ticks"]
    return sorted((bucket, symbol, *values) for (bucket, symbol), values in rows.items())


def assert_right(database: Database, state: str) -> None:
    ticks = stored(database)
    for candle in CANDLES:
        with database.transaction() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM {candle.name} ORDER BY bucket, symbol")
            assert cursor.fetchall() == expected(ticks, candle.bucket), f"{candle.name}, {state}"


def assert_extremes_of_the_day_volume_are_right(database: Database) -> None:
    """The check of the volume of the day, and volumes that are derived from it, read these instead of ticks."""
    with database.transaction() as cursor:
        cursor.execute("SELECT bucket, symbol, day_volume_low, day_volume_high FROM one_minute_candle")
        found = {(bucket, symbol): extremes for bucket, symbol, *extremes in cursor.fetchall()}
    counted: dict[tuple[datetime, str], list[float]] = {}
    for at, symbol, _price, day_volume, _size, updates in stored(database):
        volumes = counted.setdefault((timestamps.floor(at, timedelta(minutes=1)), symbol), [])
        volumes += [day_volume] if updates is None or updates in (4, 5, 6, 7) else []
    assert found == {key: [min(volumes), max(volumes)] if volumes else [None, None] for key, volumes in counted.items()}


def assert_valid(database: Database) -> None:
    with database.transaction() as cursor:
        for candle in CANDLES:
            found = quality.find(cursor, "queries/checks/ohlc_invariants.sql", candle.name, {"days": 36500})
            assert (found.judged > 0, found.offending) == (True, 0), found.examples


def refresh(database: Database) -> None:
    with database.autocommit() as cursor:
        for candle in CANDLES:
            candles.refresh_history(cursor, candle)


def test_candles_follow_the_bits_in_every_state_of_a_chunk(database: Database) -> None:
    load(database, tape())
    assert_right(database, "computed live")
    minutes = expected(stored(database), ONE_MINUTE.bucket)
    assert any(row[2] is None and row[7] is not None for row in minutes), "there are minutes of volume alone"
    assert any(row[2] is None and row[7] is None for row in minutes), "and some without volume"
    refresh(database)
    assert_right(database, "materialized")
    assert_extremes_of_the_day_volume_are_right(database)
    assert_valid(database)
    with database.autocommit() as cursor:
        cursor.execute("SELECT count(compress_chunk(chunk)) FROM show_chunks('stocks_real_time') AS chunk")
    # The market takes trades back, and a feed becomes secondary.
    for change in (
        "UPDATE stocks_real_time SET updates = coalesce(updates, 7) | 8 "
        "WHERE symbol = 'AAPL' AND extract(second FROM time)::int % 12 = 0 AND time < '2026-01-06 00:00+00'",
        "UPDATE stocks_real_time SET updates = coalesce(updates, 7) | 16 "
        "WHERE symbol = 'QUIET' AND time >= '2026-01-06 00:00+00' AND extract(minute FROM time)::int % 2 = 0",
    ):
        with database.transaction() as cursor:
            cursor.execute(change)
            assert cursor.rowcount > 0
        refresh(database)
        assert_right(database, "after an update in a compressed chunk")
    with database.autocommit() as cursor:
        cursor.execute("SELECT count(compress_chunk(chunk, true)) FROM show_chunks('stocks_real_time') AS chunk")
        for candle in CANDLES:
            cursor.execute(
                "CALL refresh_continuous_aggregate(%s::regclass, %s, %s, force => true)",
                (candle.name, BEGIN - timedelta(days=1), BEGIN + timedelta(days=3)),
            )
    assert_right(database, "compressed again and refreshed by force")
    assert_valid(database)
