"""Candles of trading days, by calendar, against sums by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.market_calendar import Session

INSERT = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, size, tick_id, feed, received_at)
SELECT at::timestamptz, %s, price, day_volume, size, lpad(to_hex(row_number() OVER (ORDER BY at)), 32, '0')::uuid,
    'test', at::timestamptz
FROM (VALUES {}) AS ticks (at, price, day_volume, size)
"""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def session(day: str, opens: str, closes: str) -> Session:
    return Session(instant(f"{day} {opens}"), instant(f"{day} {closes}"), date.fromisoformat(day))


SESSIONS = {
    "XNYS": [
        session("2026-01-05", "14:30", "21:00"),
        session("2026-01-06", "14:30", "21:00"),
        session("2026-01-07", "14:30", "18:00"),
    ],
    "XTKS": [session("2026-01-06", "00:00", "02:30"), session("2026-01-06", "03:30", "06:30")],
    "CMES": [Session(instant("2026-01-05 23:00"), instant("2026-01-06 22:00"), date(2026, 1, 6))],
}


@pytest.fixture
def database(database: Database) -> Database:
    """A database that knows some sessions of January 2026."""
    with database.transaction() as cursor:
        market_calendar.keep(
            cursor,
            SESSIONS,
            {
                ("stocks", "AAPL"): "XNYS",
                ("other", "AAPL"): "always",
                ("stocks", "7203"): "XTKS",
                ("futures", "ES"): "CMES",
                ("coins", "BTC/USD"): "always",
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
def test_a_day_is_from_opening_to_closing(database: Database, refresh: bool) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 14:29:59+00', 90::float8, null::bigint, 1::float8)",
        "('2026-01-05 14:30:00+00', 100, null, 2)",
        "('2026-01-05 18:00:00+00', 103, null, 3)",
        "('2026-01-05 20:59:59+00', 101, null, 4)",
        "('2026-01-05 21:00:00+00', 110, null, 5)",
        "('2026-01-07 17:59:00+00', 99, null, 6)",
        "('2026-01-07 18:00:00+00', 98, null, 7)",
    )
    found = days(database, "session, open, high, low, close, volume, tick_count, calendar", refresh=refresh)
    assert found == [
        (date(2026, 1, 5), 100.0, 103.0, 100.0, 101.0, 9.0, 3, "XNYS"),
        (date(2026, 1, 7), 99.0, 99.0, 99.0, 99.0, 6.0, 1, "XNYS"),
    ], "nothing before the opening or after the closing, no day without ticks, a half day"


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


def test_what_was_traded_before_the_opening_is_not_in_the_days_volume(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 20:59:00+00', 1::float8, 9000::bigint, null::float8)",
        "('2026-01-05 21:30:00+00', 1, 9500, null)",
        "('2026-01-06 10:00:00+00', 1, 40, null)",
        "('2026-01-06 14:29:00+00', 1, 100, null)",
        "('2026-01-06 14:31:00+00', 1, 150, null)",
        "('2026-01-06 16:00:00+00', 1, 140, null)",
        "('2026-01-06 20:59:00+00', 1, 700, null)",
        "('2026-01-06 21:01:00+00', 1, 800, null)",
    )
    assert days(database, "session, volume, day_volume") == [
        (date(2026, 1, 5), 9000.0, 9000),
        (date(2026, 1, 6), 600.0, 700),
    ], "700 less the 100 from before the opening, though it fell once"


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
    bounds = [line for line in plan.splitlines() if "Index Cond" in line and "closes_at" in line]
    assert any("symbol = " in line and line.count("bucket") >= 2 for line in bounds), plan
