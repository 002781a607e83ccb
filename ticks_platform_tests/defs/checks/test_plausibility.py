"""What is implausible in candles and ticks: each check passes on good ones and finds each fault."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ticks_platform.timescale import quality
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import ERROR, WARN, CheckOne, examples, insert, number, refresh, tamper


def insert_ahead(database: Database, *, seconds: float) -> None:
    """A tick whose provider's clock and ours are both ahead, which the table's constraint lets pass."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT at, 'AAPL', 100, gen_random_uuid(), 'stocks', at
            FROM (SELECT now() + make_interval(secs => %s) AS at) AS ahead
            """,
            (seconds,),
        )


def test_a_clock_that_is_a_little_ahead_passes(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, ago=3)
    refresh(database)
    insert_ahead(database, seconds=16)
    found = check_one("no_ticks_from_the_future")
    assert found.passed
    assert number(found, "judged") >= 2


def test_tick_from_the_future_is_found(database: Database, check_one: CheckOne) -> None:
    insert_ahead(database, seconds=7200)
    found = check_one("no_ticks_from_the_future")
    assert (found.passed, found.severity) == (False, ERROR)
    assert {row["what"] for row in examples(found)} == {"tick", "candle"}
    assert 7000 < float(examples(found)[0]["seconds ahead"]) <= 7200


def test_watermark_from_the_future_is_found_though_the_tick_is_gone(database: Database, check_one: CheckOne) -> None:
    insert_ahead(database, seconds=86400 * 30)
    with database.autocommit() as cursor:
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', now(), now() + INTERVAL '40 days')")
        cursor.execute("DELETE FROM stocks_real_time")
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', now(), now() + INTERVAL '40 days')")
    found = check_one("no_ticks_from_the_future")
    assert not found.passed
    assert [(row["what"], row["name"]) for row in examples(found)] == [("watermark", "one_minute_candle")]


def test_possible_prices_pass(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 0.0001, 1e9, ago=10)
    insert(database, 0, ago=200)
    found = check_one("prices_are_positive_and_finite", "stocks_real_time")
    assert found.passed
    assert number(found, "judged") == 3, "what is older than the window is not read"


def test_prices_that_form_no_candle_are_not_judged(database: Database, check_one: CheckOne) -> None:
    insert(database, *[100] * 60, ago=70, every=60, day_volume="number * 10")
    insert(database, 100, -1, 0, "NaN", 1e9, ago=10, day_volume="CASE number WHEN 1 THEN 700 ELSE 1 END")
    insert(database, "NaN", ago=9)
    with database.transaction() as cursor:
        for price, updates in ((-1, 4), (0, 15), ("NaN", 23), (1e9, 8)):
            cursor.execute("UPDATE stocks_real_time SET updates = %s WHERE price = %s", (updates, price))
        # Of volume that does not count either, in the minute without a price.
        cursor.execute("UPDATE stocks_real_time SET updates = 8 WHERE price = -1")
    assert check_one("prices_are_positive_and_finite", "stocks_real_time").passed
    for name in ("ohlc_invariants", "prices_do_not_jump", "day_volume_is_monotone"):
        assert check_one(name).passed, name
    with database.transaction() as cursor:
        cursor.execute("SELECT high, low, tick_count, price_count FROM one_minute_candle ORDER BY bucket DESC LIMIT 2")
        assert cursor.fetchall() == [(None, None, 1, 0), (100, 100, 5, 1)]


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        (None, "missing"),
        ("NaN", "not finite"),
        ("Infinity", "not finite"),
        ("-Infinity", "not finite"),
        (0, "not positive"),
        (-1, "not positive"),
    ],
)
def test_impossible_price_is_found(
    database: Database, check_one: CheckOne, price: str | float | None, problem: str
) -> None:
    insert(database, 100, price, 101, ago=10)
    found = check_one("prices_are_positive_and_finite", "stocks_real_time")
    assert (found.passed, found.severity) == (False, ERROR)
    assert (number(found, "judged"), number(found, "offending")) == (3, 1)
    assert [row["problem"] for row in examples(found)] == [f"the price is {problem}"]


def test_by_schedule_prices_that_nobody_counts_are_judged(database: Database) -> None:
    insert(database, 100, None, "NaN", "Infinity", "-Infinity", 0, -1, ago=10)
    insert(database, -1, ago=9, symbol="CL")
    insert(database, -1, "NaN", ago=200)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO instrument (symbol, may_be_negative) VALUES ('CL', true)")
        assert quality.impossible_prices(cursor, window=timedelta(hours=1)) == (8, 6)


@pytest.mark.parametrize("candle", CANDLES, ids=["minute", "hour", "day"])
def test_duplicate_candle_is_found(database: Database, check_one: CheckOne, candle: candles.Candle) -> None:
    insert(database, 100, 101, ago=60 * 48)
    insert(database, 100, 101, ago=60 * 48, symbol="MSFT")
    refresh(database)
    found = check_one("no_duplicate_bucket", candle.name)
    assert found.passed
    assert number(found, "judged") == 2
    tamper(database, "INSERT INTO {table} SELECT * FROM {table} WHERE symbol = 'MSFT'", candle.name)
    found = check_one("no_duplicate_bucket", candle.name)
    assert (found.passed, found.severity) == (False, ERROR)
    assert [(row["symbol"], row["candles"]) for row in examples(found)] == [("MSFT", 2)]


VOLUMES = "(ARRAY[{}])[number]"


@pytest.mark.parametrize(
    ("volumes", "falls"),
    [
        ("100, 100, 250, 400, 400, 900", 0),
        ("NULL, NULL, NULL, NULL, NULL, NULL", 0),
        ("NULL, 100, NULL, 200, NULL, 300", 0),
        ("9000, 9500, 3, 50, 60, 70", 0),
        ("9000, 9500, 9400, 9600, 9700, 9800", 1),
        ("9000, 8900, 8800, 9600, 9700, 9800", 2),
        ("9000, 3, 9000, 3, 10, 20", 1),
    ],
    ids=["rises", "none", "some", "restarts", "falls", "falls twice", "restarts twice"],
)
def test_falling_day_volume_is_found(database: Database, check_one: CheckOne, volumes: str, falls: int) -> None:
    insert(database, *[100] * 6, ago=since_noon(database), every=60, day_volume=VOLUMES.format(volumes) + "::bigint")
    found = check_one("day_volume_is_monotone")
    assert number(found, "offending") == falls
    assert (found.passed, found.severity) == (falls == 0, WARN)
    if falls:
        assert {row["symbol"] for row in examples(found)} == {"AAPL"}


@pytest.mark.parametrize(("volumes", "falls"), [("9000, 9100, 9200", 0), ("9000, 9100, 9050", 1), ("9000, 9100, 4", 0)])
def test_day_volume_that_falls_within_a_minute_is_found(
    database: Database, check_one: CheckOne, volumes: str, falls: int
) -> None:
    insert(database, 100, 100, 100, ago=since_noon(database), day_volume=VOLUMES.format(volumes) + "::bigint")
    assert number(check_one("day_volume_is_monotone"), "offending") == falls


def since_noon(database: Database) -> int:
    """Minutes since yesterday's noon, which is in the middle of a UTC day."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT (extract(epoch FROM date_trunc('minute', now()) - "
            "(date_trunc('day', now() AT TIME ZONE 'UTC') - INTERVAL '12 hours') AT TIME ZONE 'UTC') / 60)::int"
        )
        (minutes,) = cursor.fetchone() or (0,)
    return int(minutes)


def wave(count: int) -> list[float]:
    """Prices that go up and down by some basis points."""
    return [100 + 0.05 * (step % 7) - 0.03 * (step % 3) for step in range(count)]


def test_prices_that_only_move_pass(database: Database, check_one: CheckOne) -> None:
    insert(database, *wave(90), ago=95, every=60)
    # A night between two of them, and a symbol of which too little is known.
    insert(database, *wave(60), ago=1300, every=60, symbol="MSFT")
    insert(database, *[price * 1.03 for price in wave(60)], ago=65, every=60, symbol="MSFT")
    insert(database, 1, 1000, 1, ago=50, every=60, symbol="NEW")
    found = check_one("prices_do_not_jump")
    assert found.passed, examples(found)
    assert number(found, "judged") > 100


@pytest.mark.parametrize("times", [10, 0.1, 1.1], ids=["tenfold", "a tenth", "by a tenth"])
def test_jump_is_found(database: Database, check_one: CheckOne, times: float) -> None:
    prices = wave(90)
    prices[60] *= times
    insert(database, *prices, ago=95, every=60)
    insert(database, *wave(90), ago=95, every=60, symbol="MSFT")
    found = check_one("prices_do_not_jump")
    assert (found.passed, found.severity) == (False, WARN)
    assert number(found, "offending") == 2, "there and back"
    assert {row["symbol"] for row in examples(found)} == {"AAPL"}
    assert float(examples(found)[0]["z"]) > 25


def test_jump_of_a_price_that_stands_still_is_found(database: Database, check_one: CheckOne) -> None:
    insert(database, *[100] * 60, 100.01, *[100] * 20, 150, ago=95, every=60)
    found = check_one("prices_do_not_jump")
    assert [row["to"] for row in examples(found)] == [150]
