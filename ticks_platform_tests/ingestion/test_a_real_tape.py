"""A whole day as on a real tape: minutes are the stand-in's bars, which are made by rules of its own."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extras import execute_values

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.timescale import market_calendar, quality
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.market_calendar import Session
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import KEY, live_loader
from ticks_standin import PastDay

TUESDAY = date(2026, 3, 3)


def ingest(database: Database, day: PastDay, folder: Path) -> None:
    feed = FeedSettings.model_validate(
        {"name": "tape", "provider": "polygon", "endpoint": "stand-in", "symbols": day.symbols, "api_key_env": KEY}
    )
    with contextlib.closing(Journal(folder / "tape.sqlite3", feed="tape", synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        journal.append([Frame(data, at, 1) for at, data in day.frames(300)], epoch=1)
        journal.stop_appending()
        loader.run()


@pytest.mark.parametrize("symbols", [25, pytest.param(500, marks=pytest.mark.full)])
def test_minutes_are_the_bars_but_for_what_only_rest_tells(database: Database, tmp_path: Path, symbols: int) -> None:
    day = PastDay(TUESDAY, symbols=symbols, taken_back=0.002)
    ingest(database, day, tmp_path)
    found = {
        (symbol, round(bucket.timestamp()) * 1_000): values
        for bucket, symbol, *values in rows(
            database, "SELECT bucket, symbol, open, high, low, close, volume FROM one_minute_candle"
        )
    }
    bars = {(symbol, bar["t"]): bar for symbol in day.symbols for bar in day.bars(symbol)}
    taken_back = {(each.symbol, each.minute_ms) for each in day.taken_back()}
    assert taken_back
    differing, without_prices = set(), 0
    volumes = {(symbol, minute): volume for symbol in day.symbols for minute, volume in day.volumes(symbol).items()}
    for minute in found.keys() | volumes.keys():
        *prices, volume = found.get(minute, [None] * 5)
        expected: list[Any] = [bars[minute][name] for name in "ohlc"] if minute in bars else [None] * 4
        without_prices += minute not in bars
        if prices != expected or abs((volume or 0) - volumes.get(minute, 0)) > 1e-9 * max(volumes.get(minute, 0), 1):
            differing.add(minute)
    assert differing == taken_back
    assert without_prices > len(found) / 2, "most minutes of a quiet symbol have odd lots only"
    assert unbalanced(database) == []


def test_the_check_names_the_minutes_that_only_rest_tells(database: Database, tmp_path: Path) -> None:
    day = PastDay(TUESDAY, symbols=25, taken_back=0.002)
    ingest(database, day, tmp_path)
    bars = {(symbol, bar["t"]): bar for symbol in day.symbols for bar in day.bars(symbol)}
    with database.transaction() as cursor:
        execute_values(
            cursor,
            "INSERT INTO stock_aggregates (symbol, start_time, end_time, open_price, high_price, low_price, "
            "close_price, volume, feed, received_at) VALUES %s",
            [(symbol, minute, minute, *(bar[name] for name in "ohlcv")) for (symbol, minute), bar in bars.items()],
            template="(%s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0 + 60), %s, %s, %s, %s, %s, 'tape', "
            "now())",
        )
        found = quality.against_bars(
            cursor, {"tape": 1e-9}, window=timedelta(days=9000), settling=timedelta(0), examples=len(bars)
        )
    first = {symbol: min(day.volumes(symbol)) for symbol in day.symbols}
    named = {
        (row["symbol"], round(datetime.fromisoformat(row["bucket"]).timestamp()) * 1_000) for row in found.examples
    }
    taken_back = {(each.symbol, each.minute_ms) for each in day.taken_back()}
    with_prices = {
        (symbol, round(bucket.timestamp()) * 1_000)
        for symbol, bucket in rows(database, "SELECT symbol, bucket FROM one_minute_candle WHERE open IS NOT NULL")
    }
    # Of a minute without prices there is no bar: what is taken back of its volume alone is found by the true-up only.
    assert named == {minute for minute in taken_back if minute in bars or minute in with_prices} - set(first.items())
    assert found.differing == len(named) > 5


def test_hours_and_the_trading_day_are_its_bars_too(database: Database, tmp_path: Path) -> None:
    day = PastDay(TUESDAY, symbols=100, taken_back=0.0)
    ingest(database, day, tmp_path)
    midnight = datetime(2026, 3, 3, 5, tzinfo=timezone.utc)
    opens, closes = midnight + timedelta(hours=9.5), midnight + timedelta(hours=16)
    session = Session(opens, closes, TUESDAY, midnight, midnight + timedelta(days=1))
    with database.transaction() as cursor:
        calendars = {("tape", symbol): "XNYS" for symbol in day.symbols}
        month = midnight - timedelta(days=2), midnight + timedelta(days=28)
        market_calendar.keep(cursor, {"XNYS": [session]}, calendars, begin=month[0], end=month[1])
    hours = {
        (symbol, round(bucket.timestamp()) * 1_000): prices
        for symbol, bucket, *prices in rows(
            database, "SELECT symbol, bucket, open, high, low, close FROM one_hour_candle WHERE open IS NOT NULL"
        )
    }
    assert hours == {
        (symbol, bar["t"]): [bar[name] for name in "ohlc"] for symbol in day.symbols for bar in day.bars(symbol, "hour")
    }
    days = {
        symbol: (prices, volume)
        for symbol, volume, *prices in rows(
            database,
            "SELECT symbol, volume, open, high, low, close FROM session_day_candle WHERE session = '2026-03-03'",
        )
    }
    assert len(days) == 100
    for symbol, (prices, volume) in days.items():
        bar = day.day_bar(symbol)
        assert bar is not None
        assert prices == [bar[name] for name in "ohlc"], symbol
        assert volume == pytest.approx(bar["v"], rel=1e-9)


def test_official_prices_are_kept_and_no_ticks(database: Database, tmp_path: Path) -> None:
    day = PastDay(TUESDAY, symbols=60, taken_back=0.0)
    ingest(database, day, tmp_path)
    closes = dict(
        rows(
            database,
            "SELECT DISTINCT ON (symbol) symbol, price FROM official_price WHERE kind IN ('close', 'corrected_close') "
            "ORDER BY symbol, kind = 'close', is_primary DESC, size DESC, time DESC",
        )
    )
    bars = {symbol: day.day_bar(symbol) for symbol in day.symbols}
    assert len(closes) > 50
    assert {symbol: (bars[symbol] or {})["c"] for symbol in closes} == closes
    ((count,),) = rows(database, "SELECT count(*) FROM stocks_real_time WHERE conditions && '{15,16,38}'::smallint[]")
    assert count == 0
    ((sessions,),) = rows(database, "SELECT array_agg(DISTINCT session) FROM official_price")
    assert sessions == [TUESDAY]
