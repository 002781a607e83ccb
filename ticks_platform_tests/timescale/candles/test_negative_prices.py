"""Prices of zero and less: the future of May 2020 on 2020-04-20, from frames to candles and pictures."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.pictures.candlesticks import Candlestick, Panel, draw
from ticks_platform.timescale import quality
from ticks_platform.timescale.candles import chart_query, explanation, explanation_text
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import insert, refresh

PRICES = (10.0, 0.0, -0.01, -40.32, -37.63)


def test_frames_with_negative_prices_are_ticks() -> None:
    at = 1_587_406_200
    polygon = [
        {"ev": "V", "val": -1312.0, "T": "I:TICK", "t": at * 1000},
        {"ev": "V", "val": 0, "T": "I:TICK", "t": at * 1000},
    ]
    twelve = {"event": "price", "symbol": "CL1", "timestamp": at, "price": -37.63}
    index: Connector = PolygonConnector(url=None, api_key=None, options={"market": "indices"})
    future: Connector = TwelveDataConnector(url=None, api_key=None)
    decoded = [*index.decode(json.dumps(polygon).encode()), *future.decode(json.dumps(twelve).encode())]
    assert [event.price if isinstance(event, Tick) else event for event in decoded] == [-1312.0, 0, -37.63]


def test_candles_of_negative_prices(database: Database) -> None:
    insert(database, *PRICES, symbol="CLK0", ago=30)
    refresh(database)
    with database.transaction() as cursor:
        for candle in ("one_minute_candle", "one_hour_candle", "one_day_candle", "session_day_candle"):
            cursor.execute(f"SELECT open, high, low, close FROM {candle} WHERE symbol = 'CLK0'")
            assert cursor.fetchall() == [(10, 10, -40.32, -37.63)], candle
        cursor.execute("SELECT min(bucket) FROM one_minute_candle")
        (bucket,) = cursor.fetchone() or (None,)
        assert bucket is not None
        answer = explanation.explain(cursor, "CLK0", bucket, ONE_MINUTE)
        assert "-40.32" in explanation_text.text(answer)
        (row,) = chart_query.newest_candles(cursor, ONE_MINUTE, bucket, symbols=1).rows
        assert row[2:] == (10, 10, -40.32, -37.63)


def test_a_chart_of_negative_prices() -> None:
    at = datetime(2020, 4, 20, 18, 30, tzinfo=timezone.utc)
    minute = timedelta(minutes=1)
    falling = [Candlestick(at, 10, 10, -1, 0), Candlestick(at + minute, 0, 1, -40.32, -37.63)]
    assert "-37.63  -47.63<" in draw([Panel("CLK0", falling)], minute)
    rising = [Candlestick(at, -37.63, -13, -40, -20)]
    assert "-20.00  +17.63<" in draw([Panel("CLK0", rising)], minute)
    assert "110.00  +10.00%<" in draw([Panel("AAPL", [Candlestick(at, 100, 110, 99, 110)])], minute)


def test_bars_around_zero_are_compared_with_the_prices_around_them(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO instrument (symbol, may_be_negative) VALUES ('CLK0', true)")
        for symbol in ("CLK0", "AAPL"):
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
                "SELECT date_trunc('minute', now()) - make_interval(mins => ago), %s, price, gen_random_uuid(), "
                "'tape', now() FROM (VALUES (60, 1.0), (50, -20.0), (49, 0.0), (48, -0.02)) AS ticks (ago, price)",
                (symbol,),
            )
            cursor.execute(
                "INSERT INTO stock_aggregates (symbol, start_time, end_time, open_price, high_price, low_price, "
                "close_price, volume, feed, received_at) "
                "SELECT %s, at, at + INTERVAL '1 minute', price, price, price, price, NULL, 'tape', now() "
                "FROM (VALUES (50, -20.1), (49, 0.01), (48, -0.025)) AS bars (ago, price), "
                "LATERAL (SELECT date_trunc('minute', now()) - make_interval(mins => ago) AS at) AS minute",
                (symbol,),
            )
    with database.transaction() as cursor:
        found = quality.against_bars(
            cursor, {"tape": 0.01}, window=timedelta(hours=2), settling=timedelta(minutes=15), examples=10
        )
    assert (found.minutes, found.differing) == (6, 2)
    assert {row["symbol"] for row in found.examples} == {"AAPL"}
