"""Adjusted candles against numbers that were computed by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.timescale.candles.test_session_day_candle import insert, instant, session

ACTION = (
    "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to, cash_amount, currency, "
    "historical_adjustment_factor, provider_id, source) VALUES (%s, %s, %s, %s, %s, %s, 'USD', %s, %s, %s)"
)

MON, TUE, WED, THU = (date(2026, 1, day) for day in (5, 6, 7, 8))

# Wednesday is a half day.
SESSIONS = {
    "XNYS": [
        session("2026-01-05", "14:30", "21:00", "05:00"),
        session("2026-01-06", "14:30", "21:00", "05:00"),
        session("2026-01-07", "14:30", "18:00", "05:00"),
        session("2026-01-08", "14:30", "21:00", "05:00"),
    ],
    "XASX": [
        session("2026-01-06", "23:00", "23:30", "13:00")._replace(
            opens_at=instant("2026-01-05 23:00"),
            closes_at=instant("2026-01-06 05:00"),
            day_begins_at=instant("2026-01-05 13:00"),
            day_ends_at=instant("2026-01-06 13:00"),
        ),
        session("2026-01-07", "23:00", "23:30", "13:00")._replace(
            opens_at=instant("2026-01-06 23:00"),
            closes_at=instant("2026-01-07 05:00"),
            day_begins_at=instant("2026-01-06 13:00"),
            day_ends_at=instant("2026-01-07 13:00"),
        ),
    ],
}


@pytest.fixture
def database(database: Database) -> Database:
    """A database that knows four sessions, the third one a half day."""
    with database.transaction() as cursor:
        market_calendar.keep(
            cursor,
            SESSIONS,
            {
                ("stocks", "AAPL"): ("XNYS", "XNYS"),
                ("stocks", "TINY"): ("XNYS", "XNYS"),
                ("stocks", "KO"): ("XNYS", "XNYS"),
                ("stocks", "BHP"): ("XASX", "XASX"),
            },
            begin=instant("2026-01-01"),
            end=instant("2026-02-01"),
        )
    return database


def split(database: Database, symbol: str, on: date | str, old: float, new: float, **more: Any) -> None:
    values = {"cumulative": None, "provider_id": f"{symbol} {on}", "source": "polygon", **more}
    with database.transaction() as cursor:
        cursor.execute(
            ACTION,
            (symbol, "split", on, old, new, None, values["cumulative"], values["provider_id"], values["source"]),
        )


def dividend(database: Database, symbol: str, on: date | str, cash: float, cumulative: float | None) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            ACTION, (symbol, "dividend", on, None, None, cash, cumulative, f"{symbol} {on} {cash}", "polygon")
        )


def refresh(database: Database) -> None:
    with database.autocommit() as cursor:
        for level in CANDLES:
            candles.refresh_history(cursor, level)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


SESSION = "SELECT {} FROM session_day_candle_adjusted ORDER BY symbol, session"
DAY = "SELECT {} FROM one_day_candle_adjusted ORDER BY symbol, bucket"


def four_days(database: Database, symbol: str, *prices: float) -> None:
    """A trade of 100 shares on each of the four days, at 15:00 UTC; 0 for none."""
    ticks = [
        f"('2026-01-0{number} 15:00:00+00', {price}::float8, null::bigint, 100::float8)"
        for number, price in enumerate(prices, 5)
        if price
    ]
    insert(database, symbol, *ticks)


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_split_multiplies_the_prices_before_it_and_divides_the_volume(database: Database, refreshed: bool) -> None:
    four_days(database, "AAPL", 400, 404, 101.5, 102)
    split(database, "AAPL", WED, 1, 4)
    if refreshed:
        refresh(database)
    columns = "open, high, low, close, volume, adj_close, split_factor, dividend_factor, tick_count"
    expected = [
        (100.0, 100.0, 100.0, 100.0, 400.0, 100.0, 0.25, 1.0, 1),
        (101.0, 101.0, 101.0, 101.0, 400.0, 101.0, 0.25, 1.0, 1),
        (101.5, 101.5, 101.5, 101.5, 100.0, 101.5, 1.0, 1.0, 1),
        (102.0, 102.0, 102.0, 102.0, 100.0, 102.0, 1.0, 1.0, 1),
    ]
    assert rows(database, SESSION.format(columns)) == expected
    assert rows(database, DAY.format(columns)) == expected


def test_a_reverse_split_and_the_symbols_beside_it(database: Database) -> None:
    four_days(database, "TINY", 0.5, 0.4, 0.45, 8.2)
    four_days(database, "AAPL", 200, 201, 202, 203)
    split(database, "TINY", THU, 20, 1)
    for query in (SESSION, DAY):
        assert rows(database, query.format("symbol, close, volume")) == [
            ("AAPL", 200.0, 100.0),
            ("AAPL", 201.0, 100.0),
            ("AAPL", 202.0, 100.0),
            ("AAPL", 203.0, 100.0),
            ("TINY", 10.0, 5.0),
            ("TINY", 8.0, 5.0),
            ("TINY", 9.0, 5.0),
            ("TINY", 8.2, 100.0),
        ]


def test_two_splits_multiply(database: Database) -> None:
    """3:2 on Tuesday and 1:6 on the day after the half day: 2/3 and 6, together 4."""
    four_days(database, "AAPL", 30, 20.5, 21, 126)
    split(database, "AAPL", TUE, 2, 3)
    split(database, "AAPL", THU, 6, 1)
    for query in (SESSION, DAY):
        assert rows(database, query.format("close, volume, split_factor")) == [
            (120.0, 25.0, 4.0),
            (123.0, 100 / 6, 6.0),
            (126.0, 100 / 6, 6.0),
            (126.0, 100.0, 1.0),
        ]


def test_two_splits_of_one_day_are_one(database: Database) -> None:
    """A company joins shares 1:1000 and splits them 500:1 in the same night, to pay off those who hold few."""
    four_days(database, "AAPL", 50, 50, 100, 100)
    split(database, "AAPL", WED, 1000, 1, provider_id="reverse")
    split(database, "AAPL", WED, 1, 500, provider_id="forward")
    assert rows(database, SESSION.format("close, split_factor")) == [(100.0, 2.0), (100.0, 2.0), (100.0, 1), (100.0, 1)]


def test_dividends_change_only_adj_close(database: Database) -> None:
    """1.00 at a close of 50 and 0.49 at one of 49: 0.98 and 0.99; before the first 0.98 x 0.99."""
    four_days(database, "KO", 50, 49, 48.6, 48.8)
    dividend(database, "KO", TUE, 1.0, 0.9702)
    dividend(database, "KO", WED, 0.49, 0.99)
    dividend(database, "KO", "2030-01-07", 0.5, None)
    for query in (SESSION, DAY):
        found = rows(database, query.format("close, volume, split_factor, dividend_factor, adj_close"))
        assert [row[:3] for row in found] == [(50.0, 100, 1), (49.0, 100, 1), (48.6, 100, 1), (48.8, 100, 1)]
        assert [row[3] for row in found] == pytest.approx([0.9702, 0.99, 1, 1], rel=1e-12)
        assert [row[4] for row in found] == pytest.approx([48.51, 48.51, 48.6, 48.8], rel=1e-12)


def test_splits_that_follow_each_other(database: Database) -> None:
    """4:1, then a reverse one 1:10."""
    four_days(database, "AAPL", 1000, 250, 2500, 2500)
    split(database, "AAPL", TUE, 1, 4)
    split(database, "AAPL", WED, 10, 1)
    expected = [(2500.0, 40.0, 2.5), (2500.0, 10.0, 10.0), (2500.0, 100.0, 1.0), (2500.0, 100.0, 1.0)]
    for query in (SESSION, DAY):
        assert rows(database, query.format("close, volume, split_factor")) == expected


def test_two_splits_of_one_date_multiply(database: Database) -> None:
    four_days(database, "AAPL", 1000, 1000, 250, 250)
    split(database, "AAPL", WED, 1, 2, provider_id="one")
    split(database, "AAPL", WED, 1, 2, provider_id="other")
    assert rows(database, SESSION.format("close, volume")) == [(250.0, 400.0)] * 2 + [(250.0, 100.0)] * 2


def test_a_split_on_a_half_day(database: Database) -> None:
    """Its pre-market and what is traded after the early close are of the new day, the evening before is not."""
    insert(
        database,
        "AAPL",
        "('2026-01-07 00:30:00+00', 400::float8, null::bigint, 10::float8)",
        "('2026-01-07 09:00:00+00', 100, null, 10)",
        "('2026-01-07 17:59:00+00', 101, null, 10)",
        "('2026-01-07 19:00:00+00', 102, null, 10)",
        "('2026-01-08 00:30:00+00', 103, null, 10)",
    )
    split(database, "AAPL", WED, 1, 4)
    assert rows(database, DAY.format("open, close, volume")) == [(100.0, 102.0, 70.0), (103.0, 103.0, 10.0)]
    assert rows(database, SESSION.format("session, close, volume")) == [(TUE, None, 40.0), (WED, 101.0, 40.0)]


def test_a_split_and_a_dividend(database: Database) -> None:
    four_days(database, "KO", 100, 98, 49.5, 50)
    dividend(database, "KO", TUE, 2.0, 0.98)
    split(database, "KO", WED, 1, 2)
    found = rows(database, SESSION.format("close, adj_close"))
    assert [row[0] for row in found] == [50.0, 49.0, 49.5, 50.0]
    assert [row[1] for row in found] == pytest.approx([49.0, 49.0, 49.5, 50.0], rel=1e-12)


def test_without_actions_candles_are_as_they_are(database: Database) -> None:
    four_days(database, "AAPL", 400, 404, 0, 102)
    insert(database, "TINY", "('2026-01-05 15:00:00+00', 1::float8, 7::bigint, null::float8)")
    split(database, "KO", WED, 1, 4)
    refresh(database)
    for plain, key in (("one_day_candle", "bucket"), ("session_day_candle", "session")):
        columns = [
            row[0]
            for row in rows(
                database, f"SELECT attname FROM pg_attribute WHERE attrelid = '{plain}'::regclass AND attnum > 0"
            )
        ]
        listed = ", ".join(columns)
        assert rows(database, f"SELECT {listed} FROM {plain}_adjusted ORDER BY symbol, {key}") == rows(
            database, f"SELECT {listed} FROM {plain} ORDER BY symbol, {key}"
        )
        assert rows(database, f"SELECT DISTINCT split_factor, dividend_factor FROM {plain}_adjusted") == [(1, 1)]


@pytest.mark.parametrize("refreshed", [False, True])
def test_an_action_applies_overnight(database: Database, refreshed: bool) -> None:
    """The last hour of Monday's extended hours in New York, and Tuesday's pre-market, are in one UTC day."""
    insert(
        database,
        "AAPL",
        "('2026-01-05 20:00:00+00', 400::float8, null::bigint, 10::float8)",
        "('2026-01-06 00:30:00+00', 440, null, 20)",
        "('2026-01-06 00:59:59+00', 396, null, 20)",
        "('2026-01-06 09:00:00+00', 98, null, 3)",
        "('2026-01-06 15:00:00+00', 102, null, 4)",
    )
    split(database, "AAPL", TUE, 1, 4)
    if refreshed:
        refresh(database)
    assert rows(database, DAY.format("bucket, open, high, low, close, volume, tick_count, split_factor")) == [
        (instant("2026-01-05"), 100.0, 100.0, 100.0, 100.0, 40.0, 1, 0.25),
        (instant("2026-01-06"), 110.0, 110.0, 98.0, 102.0, 167.0, 4, 1.0),
    ]
    assert rows(database, SESSION.format("session, open, high, low, close, volume")) == [
        (MON, 100.0, 100.0, 100.0, 100.0, 200.0),
        (TUE, 102.0, 102.0, 102.0, 102.0, 7.0),
    ], "the session's volume has its own evening; its prices are those of regular hours"


def test_a_utc_day_that_ends_before_the_new_day_trades_is_of_the_old_one(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-05 20:00:00+00', 400::float8, null::bigint, 10::float8)",
        "('2026-01-06 00:30:00+00', 440, null, 20)",
    )
    split(database, "AAPL", TUE, 1, 4)
    dividend(database, "AAPL", TUE, 4, 0.5)
    assert rows(database, DAY.format("open, close, volume, split_factor, adj_close")) == [
        (100.0, 100.0, 40.0, 0.25, 50.0),
        (110.0, 110.0, 80.0, 0.25, 55.0),
    ]


def test_a_day_that_begins_in_the_evening_before(database: Database) -> None:
    """Sydney opens at 23:00 UTC of the day before: the first hour of the execution date is in that UTC day."""
    insert(
        database,
        "BHP",
        "('2026-01-06 01:00:00+00', 60::float8, null::bigint, 10::float8)",
        "('2026-01-06 23:30:00+00', 21, null, 30)",
        "('2026-01-07 01:00:00+00', 22, null, 30)",
    )
    split(database, "BHP", WED, 1, 3)
    assert rows(database, DAY.format("bucket, open, high, low, close, volume")) == [
        (instant("2026-01-06"), 20.0, 21.0, 20.0, 21.0, 60.0),
        (instant("2026-01-07"), 22.0, 22.0, 22.0, 22.0, 30.0),
    ]
    assert rows(database, SESSION.format("session, close, volume")) == [(TUE, 20.0, 30.0), (WED, 22.0, 60.0)]


def test_a_split_after_a_half_day_and_one_on_a_day_without_session(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-07 17:59:00+00', 400::float8, null::bigint, 10::float8)",
        "('2026-01-07 21:59:00+00', 408, null, 10)",
        "('2026-01-08 09:00:00+00', 103, null, 10)",
        "('2026-01-08 15:00:00+00', 104, null, 10)",
    )
    split(database, "AAPL", THU, 1, 4)
    assert rows(database, SESSION.format("close, volume")) == [(100.0, 80.0), (104.0, 20.0)]
    assert rows(database, DAY.format("high, volume")) == [(102.0, 80.0), (104.0, 20.0)]
    with database.transaction() as cursor:
        cursor.execute("UPDATE corporate_action SET execution_date = '2026-01-03'")
    assert rows(database, SESSION.format("close")) == [(400.0,), (104.0,)], "it was executed on Monday"


def test_an_announced_split_changes_nothing_until_its_day(database: Database) -> None:
    four_days(database, "AAPL", 400, 404, 408, 412)
    split(database, "AAPL", "2999-01-01", 1, 4, cumulative=0.25)
    assert rows(database, SESSION.format("close, split_factor")) == [(400, 1), (404, 1), (408, 1), (412, 1)]


def test_a_superseded_version_is_not_applied(database: Database) -> None:
    four_days(database, "AAPL", 400, 404, 101.5, 102)
    split(database, "AAPL", WED, 1, 5)
    with database.transaction() as cursor:
        cursor.execute("UPDATE corporate_action SET superseded_at = known_at + INTERVAL '1 s'")
    split(database, "AAPL", WED, 1, 4)
    assert rows(database, SESSION.format("close")) == [(100.0,), (101.0,), (101.5,), (102.0,)]


def test_a_row_of_ones_own_stands_for_the_providers(database: Database) -> None:
    four_days(database, "KO", 100, 98, 24.5, 25)
    split(database, "KO", WED, 1, 5)
    split(database, "KO", WED, 1, 4, source="manual", provider_id="")
    dividend(database, "KO", TUE, 2.0, 0.49)
    dividend(database, "KO", WED, 2.0, 0.5)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO corporate_action (symbol, kind, execution_date, cash_amount, price_factor) "
            "VALUES ('KO', 'dividend', %s, 0.2, 0.8)",
            (WED,),
        )
    found = rows(database, SESSION.format("close, dividend_factor"))
    assert [row[0] for row in found] == [25.0, 24.5, 24.5, 25.0]
    assert [row[1] for row in found] == pytest.approx([0.98 * 0.8, 0.8, 1, 1], rel=1e-12)


def test_without_a_calendar_the_day_is_that_of_utc(database: Database) -> None:
    insert(
        database,
        "UNKNOWN",
        "('2026-01-05 23:59:59+00', 4::float8, null::bigint, 1::float8)",
        "('2026-01-06 00:00:00+00', 1, null, 2)",
    )
    split(database, "UNKNOWN", TUE, 1, 4)
    for query in (SESSION, DAY):
        assert rows(database, query.format("close, volume")) == [(1.0, 4.0), (1.0, 2.0)]


def test_an_hour_without_prices_has_volume(database: Database) -> None:
    insert(
        database,
        "AAPL",
        "('2026-01-06 00:30:00+00', 440::float8, null::bigint, 20::float8)",
        "('2026-01-06 15:00:00+00', 102, null, 4)",
    )
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET updates = 4 WHERE price = 102")
    split(database, "AAPL", TUE, 1, 4)
    assert rows(database, DAY.format("open, close, volume")) == [(110.0, 110.0, 84.0)]
