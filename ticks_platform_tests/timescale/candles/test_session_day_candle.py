"""Candles of trading days, by calendar, against sums by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.market_calendar import Session, SymbolCalendars

INSERT = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, size, tick_id, feed, received_at)
SELECT at::timestamptz, %s, price, day_volume, size, lpad(to_hex(row_number() OVER (ORDER BY at)), 32, '0')::uuid,
    'test', at::timestamptz
FROM (VALUES {}) AS ticks (at, price, day_volume, size)
"""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def session(day: str, opens: str, closes: str, midnight: str) -> Session:
    begins = instant(f"{day} {midnight}")
    if midnight > opens:
        begins -= timedelta(days=1)
    return Session(
        instant(f"{day} {opens}"),
        instant(f"{day} {closes}"),
        date.fromisoformat(day),
        begins,
        begins + timedelta(days=1),
    )


SESSIONS = {
    "XNYS": [
        session("2026-01-05", "14:30", "21:00", "05:00"),
        session("2026-01-06", "14:30", "21:00", "05:00"),
        session("2026-01-07", "14:30", "18:00", "05:00"),
    ],
    "XTKS": [session("2026-01-06", "00:00", "02:30", "15:00"), session("2026-01-06", "03:30", "06:30", "15:00")],
    "CMES": [
        Session(
            instant("2026-01-05 23:00"),
            instant("2026-01-06 22:00"),
            date(2026, 1, 6),
            instant("2026-01-05 23:00"),
            instant("2026-01-06 23:00"),
        )
    ],
}


@pytest.fixture
def database(database: Database) -> Database:
    """A database that knows some sessions of January 2026."""
    with database.transaction() as cursor:
        market_calendar.keep(
            cursor,
            SESSIONS,
            {
                ("stocks", "AAPL"): SymbolCalendars("XNYS", "XNYS"),
                ("other", "AAPL"): SymbolCalendars("always", "always"),
                ("stocks", "7203"): SymbolCalendars("XTKS", "XTKS"),
                ("futures", "ES"): SymbolCalendars("CMES", "CMES"),
                ("coins", "BTC/USD"): SymbolCalendars("always", "always"),
            },
            begin=instant("2026-01-01"),
            end=instant("2026-02-01"),
        )
    return database


def insert(database: Database, symbol: str, *ticks: str) -> None:
    """Ticks as rows of at, price, day_volume and size."""
    with database.transaction() as cursor:
        cursor.execute(INSERT.format(", ".join(ticks)), (symbol,))


def days(database: Database, columns: str, *, refresh: bool = True) -> list[tuple[Any, ...]]:
    if refresh:
        with database.autocommit() as cursor:
            for level in CANDLES:
                candles.refresh_history(cursor, level)
    with database.transaction() as cursor:
        cursor.execute(f"SELECT {columns} FROM session_day_candle ORDER BY symbol, session")
        return cursor.fetchall()


@pytest.mark.parametrize("refresh", [False, True])
def test_prices_are_of_regular_hours_and_the_volume_is_of_the_whole_day(database: Database, refresh: bool) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 04:59:59+00', 80::float8, null::bigint, 100::float8)",
        "('2026-01-05 05:00:00+00', 85, null, 0.5)",
        "('2026-01-05 14:29:59+00', 90, null, 1)",
        "('2026-01-05 14:30:00+00', 100, null, 2)",
        "('2026-01-05 18:00:00+00', 103, null, 3)",
        "('2026-01-05 20:59:59+00', 101, null, 4)",
        "('2026-01-05 21:00:00+00', 110, null, 5)",
        "('2026-01-06 04:59:59+00', 120, null, 0.25)",
        "('2026-01-07 17:59:00+00', 99, null, 6)",
        "('2026-01-07 18:00:00+00', 98, null, 7)",
    )
    found = days(database, "session, open, high, low, close, volume, tick_count, calendar", refresh=refresh)
    assert found == [
        (date(2026, 1, 5), 100.0, 103.0, 100.0, 101.0, 15.75, 7, "XNYS"),
        (date(2026, 1, 7), 99.0, 99.0, 99.0, 99.0, 13.0, 2, "XNYS"),
    ], "from midnight to midnight in New York, no day without ticks, a half day"


def test_a_break_does_not_divide_a_day_and_an_evening_belongs_to_the_next(database: Database) -> None:
    insert(
        database,
        "7203",
        "('2026-01-06 01:00:00+00', 10::float8, null::bigint, null::float8)",
        "('2026-01-06 06:29:00+00', 12, null, null)",
    )
    insert(
        database,
        "ES",
        "('2026-01-05 23:00:00+00', 20::float8, null::bigint, null::float8)",
        "('2026-01-06 21:00:00+00', 22, null, null)",
    )
    assert days(database, "symbol, session, open, close, volume, opens_at, closes_at") == [
        ("7203", date(2026, 1, 6), 10.0, 12.0, None, instant("2026-01-06 00:00"), instant("2026-01-06 06:30")),
        ("ES", date(2026, 1, 6), 20.0, 22.0, None, instant("2026-01-05 23:00"), instant("2026-01-06 22:00")),
    ], "without sizes and without the volume of the day there is no volume, and it is not zero"


def test_what_never_closes_has_utc_days_and_so_has_what_has_no_calendar(database: Database) -> None:
    for symbol in ("BTC/USD", "UNKNOWN"):
        insert(
            database,
            symbol,
            "('2026-01-05 23:59:59+00', 1::float8, null::bigint, 1::float8)",
            "('2026-01-06 00:00:00+00', 2, null, 2)",
        )
    assert days(database, "symbol, session, open, volume, calendar") == [
        ("BTC/USD", date(2026, 1, 5), 1.0, 1.0, "always"),
        ("BTC/USD", date(2026, 1, 6), 2.0, 2.0, "always"),
        ("UNKNOWN", date(2026, 1, 5), 1.0, 1.0, "always"),
        ("UNKNOWN", date(2026, 1, 6), 2.0, 2.0, "always"),
    ]


def test_the_volume_of_the_day_is_counted_from_where_the_day_begins(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 20:59:00+00', 1::float8, 9000::bigint, null::float8)",
        "('2026-01-05 21:30:00+00', 1, 9500, null)",
        "('2026-01-06 05:10:00+00', 1, 9500, null)",
        "('2026-01-06 10:00:00+00', 1, 40, null)",
        "('2026-01-06 14:29:00+00', 1, 100, null)",
        "('2026-01-06 14:31:00+00', 1, 150, null)",
        "('2026-01-06 16:00:00+00', 1, 140, null)",
        "('2026-01-06 20:59:00+00', 1, 700, null)",
        "('2026-01-06 21:01:00+00', 1, 800, null)",
    )
    assert days(database, "session, volume, day_volume") == [
        (date(2026, 1, 5), 9500.0, 9500),
        (date(2026, 1, 6), 800.0, 800),
    ], "what the provider repeats of the day before is not counted twice, though the volume fell once"


def official(database: Database, kind: str, price: float, exchange: str, *, primary: bool, size: float | None) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO official_price "
            "(time, symbol, session, kind, price, size, exchange, is_primary, feed, received_at) "
            "VALUES ('2026-01-05 21:00:01+00', 'AAPL', '2026-01-05', %s, %s, %s, %s, %s, 'stocks', now())",
            (kind, price, size, exchange, primary),
        )


PRICES = "session, open, high, low, close, volume"


def test_the_official_close_is_the_close(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 14:30:00+00', 100::float8, null::bigint, 2::float8)",
        "('2026-01-05 20:59:59+00', 101, null, 4)",
        "('2026-01-05 21:00:00.3+00', 102, null, 5)",
        "('2026-01-05 21:00:30+00', 150, null, 1)",
    )
    day = date(2026, 1, 5)
    assert days(database, PRICES) == [(day, 100.0, 101.0, 100.0, 101.0, 12.0)], "there is no official close yet"
    # Each exchange has its own; the open is that of an auction in regular hours, whose trade is there.
    official(database, "open", 300, "12", primary=True, size=9_000_000)
    official(database, "close", 100.5, "8", primary=False, size=700)
    official(database, "close", 99.5, "11", primary=False, size=900)
    assert days(database, PRICES, refresh=False) == [(day, 100.0, 101.0, 99.5, 99.5, 12.0)], "the larger one"
    official(database, "close", 102, "12", primary=True, size=5)
    assert days(database, PRICES, refresh=False) == [(day, 100.0, 102.0, 100.0, 102.0, 12.0)], "of the listing exchange"
    official(database, "corrected_close", 101.5, "12", primary=True, size=0)
    assert days(database, PRICES, refresh=False) == [(day, 100.0, 102.0, 100.0, 101.5, 12.0)], "corrected"


def test_official_prices_of_a_secondary_feed_are_not_used(database: Database) -> None:
    insert(database, "AAPL", "('2026-01-05 14:30:00+00', 100::float8, null::bigint, 2::float8)")
    official(database, "close", 102, "12", primary=True, size=5)
    day = date(2026, 1, 5)
    assert days(database, PRICES) == [(day, 100.0, 102.0, 100.0, 102.0, 2.0)]
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic, candles) "
            "VALUES ('stocks', 'polygon', true, false) "
            "ON CONFLICT (feed) DO UPDATE SET candles = false"
        )
    assert days(database, PRICES, refresh=False) == [(day, 100.0, 100.0, 100.0, 100.0, 2.0)]


def test_a_day_of_volume_alone_has_no_prices(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 13:00:00+00', 100::float8, null::bigint, 2::float8)",
        "('2026-01-05 15:00:00+00', 101, null, 4)",
    )
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET updates = 4 WHERE price = 101")
    day = date(2026, 1, 5)
    assert days(database, f"{PRICES}, tick_count") == [(day, None, None, None, None, 6.0, 2)]
    official(database, "close", 99.0, "12", primary=True, size=None)
    assert days(database, PRICES) == [(day, 99.0, 99.0, 99.0, 99.0, 6.0)]


def test_minutes_without_prices_give_none_to_the_day(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 14:30:00+00', 1::float8, null::bigint, 1::float8)",
        "('2026-01-05 14:31:00+00', 100, null, 2)",
        "('2026-01-05 14:32:00+00', 101, null, 4)",
        "('2026-01-05 20:59:00+00', 900, null, 8)",
    )
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET updates = 6 WHERE price IN (1, 900)")
    assert days(database, PRICES) == [(date(2026, 1, 5), 100.0, 101.0, 100.0, 101.0, 15.0)]


def test_a_count_that_goes_on_over_midnight_is_not_counted_twice(database: Database) -> None:
    insert(
        database,
        "BTC/USD",
        "('2026-01-05 23:00:00+00', 1::float8, 1000::bigint, null::float8)",
        "('2026-01-06 00:30:00+00', 1, 1100, null)",
        "('2026-01-06 05:00:00+00', 1, 30, null)",
        "('2026-01-06 06:00:00+00', 1, 45, null)",
    )
    assert days(database, "session, volume") == [(date(2026, 1, 5), 1000.0), (date(2026, 1, 6), 145.0)]
    with database.transaction() as cursor:
        cursor.execute("SELECT sum(volume) FROM one_minute_candle_volume")
        assert cursor.fetchone() == (1145.0,), "the minutes say the same"


def test_one_symbol_and_day_is_found_by_index(database: Database) -> None:
    insert(
        database,
        "AAPL",
        *(
            f"('{instant('2026-01-05 14:30') + timedelta(minutes=minute)}', 1{'::float8' if not minute else ''}, "
            f"null{'::bigint' if not minute else ''}, 1{'::float8' if not minute else ''})"
            for minute in range(60)
        ),
    )
    assert days(database, "tick_count") == [(60,)]
    with database.transaction() as cursor:
        # Of so few rows a scan would be cheaper.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT * FROM session_day_candle WHERE symbol = 'AAPL' AND session = '2026-01-05'")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    bounds = [line for line in plan.splitlines() if "Index Cond" in line and "ends_at" in line]
    assert any("symbol = " in line and line.count("bucket") >= 2 for line in bounds), plan
