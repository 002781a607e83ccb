"""`candles_as_of`: of which ticks a candle is made at a moment, in which buckets, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import psycopg2
import psycopg2.errors
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.support.ingestion import rows

HOUR = datetime(2026, 3, 3, 20, 0, tzinfo=timezone.utc)
EVER = timedelta(days=30)
"""Long after everything."""

VOLUME, NO_OPEN_CLOSE, SECONDARY = 4, 6, 23

COLUMNS = ("bucket", "open", "high", "low", "close", "volume", "tick_count", "price_count")


class Trade(NamedTuple):
    """A tick of the hour."""

    at: float
    """Seconds after its begin."""
    price: float
    updates: int | None = None
    delay: float = 0.1
    """Seconds until it arrived."""
    size: float | None = 1.0
    day_volume: float | None = None
    taken_back: float | None = None
    """Seconds after the hour's begin."""
    symbol: str = "AAPL"


def load(database: Database, *trades: Trade, hour: datetime = HOUR) -> None:
    """Store trades in the order of their arrival, and when they were taken back."""
    with database.transaction() as cursor:
        for number, trade in enumerate(sorted(trades, key=lambda trade: trade.at + trade.delay)):
            time = hour + timedelta(seconds=trade.at)
            tick_id = f"{round(time.timestamp() * 1000):012x}70008000{number:012x}"
            updates = trade.updates if trade.taken_back is None else 8 | (trade.updates or 7)
            cursor.execute(
                "INSERT INTO stocks_real_time "
                "(time, symbol, price, size, day_volume, tick_id, feed, received_at, updates, trade_id) "
                "VALUES (%s, %s, %s, %s, %s, %s, 'tape', %s, %s, '1')",
                (
                    *(time, trade.symbol, trade.price, trade.size, trade.day_volume, tick_id),
                    *(time + timedelta(seconds=trade.delay), updates),
                ),
            )
            if trade.taken_back is not None:
                cursor.execute(
                    "INSERT INTO tick_correction "
                    "(correction_id, time, symbol, trade_id, feed, kind, tick_id, known_at, source, price, size) "
                    "VALUES (%s, %s, 'AAPL', '1', 'tape', 'cancelled', %s, %s, 'test', %s, %s)",
                    (
                        *(tick_id, time, tick_id, hour + timedelta(seconds=trade.taken_back)),
                        *(trade.price, trade.size),
                    ),
                )


def as_of(
    database: Database,
    known_at: timedelta | float,
    *columns: str,
    every: str = "1 minute",
    begins: datetime = HOUR,
    ends: datetime = HOUR + timedelta(hours=1),
) -> list[tuple[Any, ...]]:
    """Candles of AAPL as of so many seconds after the hour's begin."""
    moment = HOUR + (known_at if isinstance(known_at, timedelta) else timedelta(seconds=known_at))
    with database.transaction() as cursor:
        cursor.execute(
            f"SELECT {', '.join(columns or COLUMNS[1:5])} FROM candles_as_of('AAPL', %s::interval, %s, %s, %s)",
            (every, begins, ends, moment),
        )
        return cursor.fetchall()


def test_ticks_count_from_when_they_were_received(database: Database) -> None:
    """The moment itself is included; a minute that is not over is of the ticks so far."""
    load(database, Trade(1, 10), Trade(2, 12, delay=300), Trade(30, 11), Trade(61, 9))
    prices = ("open", "high", "low", "close", "tick_count")
    assert as_of(database, 1) == []
    assert as_of(database, 1.1, *prices) == [(10, 10, 10, 10, 1)]
    assert as_of(database, 60, *prices) == [(10, 11, 10, 11, 2)]
    assert as_of(database, 120, *prices) == [(10, 11, 10, 11, 2), (9, 9, 9, 9, 1)]
    assert as_of(database, 302, *prices) == [(10, 12, 10, 11, 3), (9, 9, 9, 9, 1)]
    assert as_of(database, 302, "bucket") == [(HOUR,), (HOUR + timedelta(minutes=1),)]


@pytest.mark.parametrize("compressed", [False, True], ids=["rows", "columnstore"])
def test_what_was_taken_back_later_still_counts(database: Database, compressed: bool) -> None:
    load(
        database,
        Trade(1, 10),
        Trade(2, 99, taken_back=600),
        Trade(3, 50, NO_OPEN_CLOSE, taken_back=900),
        Trade(4, 11, taken_back=3.0),
        Trade(5, 40, SECONDARY, taken_back=900),
    )
    if compressed:
        with database.autocommit() as cursor:
            cursor.execute("SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    columns = ("open", "high", "close", "volume", "tick_count", "price_count")
    assert as_of(database, 599.9, *columns) == [(10, 99, 99, 3, 5, 3)]
    assert as_of(database, 600, *columns) == [(10, 50, 10, 2, 5, 2)]
    assert as_of(database, 900, *columns) == [(10, 10, 10, 1, 5, 1)]


def test_four_prices_or_none(database: Database) -> None:
    """A minute without a tick that may open or close gives no price to its hour, but volume."""
    load(database, Trade(1, 99, VOLUME), Trade(2, 5, NO_OPEN_CLOSE), Trade(70, 10), Trade(71, 12, NO_OPEN_CLOSE))
    columns = ("open", "high", "low", "close", "volume", "price_count")
    assert as_of(database, EVER, *columns) == [(None, None, None, None, 2, 0), (10, 12, 10, 10, 2, 2)]
    assert as_of(database, EVER, *columns, every="1 hour") == [(10, 12, 10, 10, 4, 2)]
    assert as_of(database, EVER, *columns, every="30 seconds") == as_of(database, EVER, *columns)
    assert as_of(database, EVER, *columns, every="90 seconds") == [(10, 12, 5, 10, 4, 3)]


@pytest.mark.parametrize(
    ("every", "view"),
    [
        ("1 minute", "one_minute_candle"),
        pytest.param("1 hour", "one_hour_candle", marks=pytest.mark.full),
        ("1 day", "one_day_candle"),
    ],
)
def test_with_everything_known_they_are_the_candles(database: Database, every: str, view: str) -> None:
    """Also in a session whose clocks change that day."""
    trades = [
        Trade(
            number * 37.3,
            100 + number % 13,
            (None, 4, 6, None, 15, 23)[number % 6],
            day_volume=number if number % 5 else None,
            size=number if number % 7 else None,
        )
        for number in range(1000)
    ]
    spring = datetime(2026, 3, 29, tzinfo=timezone.utc)
    load(database, *trades, Trade(5, 1, symbol="MSFT"), hour=spring)
    refresh(database)
    columns = [
        name
        for (name,) in rows(
            database, f"SELECT attname::text FROM pg_attribute WHERE attrelid = '{view}'::regclass AND attnum > 0"
        )
    ]
    expected = rows(database, f"SELECT {', '.join(columns)} FROM {view} WHERE symbol = 'AAPL' ORDER BY bucket")
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL timezone = 'Europe/Berlin'")
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM candles_as_of('AAPL', %s, '-infinity', 'infinity', 'infinity')", (every,)
        )
        assert cursor.fetchall() == expected


def test_buckets(database: Database) -> None:
    """The one that holds the begin comes whole; one that begins at the end does not come."""
    load(database, *(Trade(60 * minute, minute) for minute in range(60)))
    begins, ends = HOUR + timedelta(minutes=7, seconds=30), HOUR + timedelta(minutes=20)
    found = as_of(database, EVER, "bucket", "open", "close", every="5 minutes", begins=begins, ends=ends)
    assert found == [(HOUR + timedelta(minutes=5 * n), 5 * n, 5 * n + 4) for n in (1, 2, 3)]
    later = ends + timedelta(seconds=1)
    assert len(as_of(database, EVER, every="5 minutes", begins=begins, ends=later)) == 4
    assert as_of(database, EVER, begins=ends, ends=ends) == []
    assert as_of(database, EVER, begins=ends, ends=begins) == []


@pytest.mark.parametrize("every", ["7 minutes", "2 days", "1 month", "0", "-1 minute", "25 hours", "1 year"])
def test_an_interval_that_does_not_divide_a_day_is_refused(database: Database, every: str) -> None:
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="does not divide a day"):
        as_of(database, 0, every=every)


def test_over_many_moments(database: Database) -> None:
    load(database, *(Trade(second, second) for second in range(10)))
    query = (
        "SELECT extract(epoch FROM moment - %s)::int, close FROM generate_series(%s, %s, '1 second') AS moment, "
        "LATERAL candles_as_of(symbol => 'AAPL', every => '1 minute', begins => moment, ends => moment + '1 us', "
        "known_at => moment)"
    )
    with database.transaction() as cursor:
        cursor.execute(query, (HOUR, HOUR, HOUR + timedelta(seconds=9)))
        assert cursor.fetchall() == [(second, second - 1) for second in range(1, 10)]


def count_hour(database: Database, hour: datetime) -> None:
    """Count the ticks of an hour, as a loader does."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('tape', 'polygon', true) "
            "ON CONFLICT DO NOTHING"
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_hour "
            "(feed, destination, hour, loaded, last_received_at, counted_since, changed_at) "
            "SELECT 'tape', 'stocks_real_time', %s, count(*), now(), clock_timestamp(), now() FROM stocks_real_time "
            "WHERE time >= %s AND time < %s",
            (hour, hour, hour + timedelta(hours=1)),
        )


@pytest.mark.parametrize("is_known_by", ["count", "candle"])
@pytest.mark.parametrize("late", [False, True], ids=["nothing", "late tick"])
def test_dropped_ticks_are_told(database: Database, is_known_by: str, late: bool) -> None:
    """Rather than a candle of the late tick that came after; a candle that never had ticks raises nothing."""
    tomorrow = HOUR + timedelta(days=1)
    load(database, Trade(1, 10), Trade(2, 11))
    load(database, Trade(1, 12), hour=tomorrow)
    if is_known_by == "count":
        count_hour(database, HOUR)
        count_hour(database, tomorrow)
    else:
        refresh(database)
    assert as_of(database, EVER) == [(10, 11, 10, 11)]
    with database.autocommit() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', older_than => %s)", (tomorrow - timedelta(hours=2),))
    if late and is_known_by == "count":
        load(database, Trade(3, 99))
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=r"before 2026-03-03 2\d:\d\d UTC are not"):
        as_of(database, EVER)
    assert as_of(database, EVER, begins=tomorrow, ends=tomorrow + timedelta(hours=1)) == [(12, 12, 12, 12)]
    assert as_of(database, EVER, begins=HOUR - timedelta(days=9), ends=HOUR - timedelta(days=8)) == []


def test_ticks_that_were_copied_to_another_database_are_there(database: Database) -> None:
    """Their chunks are newer than their count."""
    load(database, Trade(1, 10), Trade(2, 11))
    count_hour(database, HOUR)
    with database.autocommit() as cursor:
        cursor.execute("CREATE TEMP TABLE copied AS SELECT * FROM stocks_real_time")
        cursor.execute("SELECT drop_chunks('stocks_real_time', older_than => now())")
        cursor.execute("INSERT INTO stocks_real_time SELECT * FROM copied")
    assert as_of(database, EVER) == [(10, 11, 10, 11)]
