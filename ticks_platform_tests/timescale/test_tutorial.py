"""The statements of Timescale's tutorials, as they are pasted into a session, against plain Python.

They are those of "Query your time-series data" (get started) and of "Ingest real-time websocket data" (financial
ticks), but for the days, which are more where a tick of ours lies on their edge, and for ETH/USD, which is TSLA here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from ticks_platform.timescale import companies
from ticks_platform.timescale.database import Database


class Tick(NamedTuple):
    time: datetime
    symbol: str
    price: float
    day_volume: int | None


def days_ago(days: float) -> datetime:
    return (datetime.now(timezone.utc) - timedelta(days=days)).replace(microsecond=0)


TICKS = [
    Tick(days_ago(age) + timedelta(seconds=offset), symbol, price + 7 * (number % 5) - number % 3, volume)
    for offset, (symbol, price, volume) in enumerate(
        [("AAPL", 180.0, 4000), ("BTC/USD", 30_000.0, None), ("TSLA", 250.0, 9000)]
    )
    for number, age in enumerate(quarter / 4 for quarter in range(80, 0, -1))
]
NAMES = {"AAPL": "Apple", "BTC/USD": "Bitcoin", "TSLA": "Tesla"}

Rows = list[tuple[Any, ...]]
Query = Callable[[str], Rows]


@pytest.fixture
def paste(database: Database) -> Query:
    """Pastes a statement into a session of a database with ticks of twenty days."""
    with database.transaction() as cursor:
        companies.keep(cursor, NAMES)
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at)
            SELECT time, symbol, price, day_volume,
                (lpad(to_hex((extract(epoch FROM time) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid,
                'stocks', time
            FROM unnest(%s::timestamptz[], %s::text[], %s::float8[], %s::bigint[])
                AS given (time, symbol, price, day_volume)
            """,
            tuple(list(column) for column in zip(*TICKS, strict=True)),
        )

    def query(statement: str) -> Rows:
        with database.autocommit() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return query


def day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0)


def candles(ticks: list[Tick]) -> Rows:
    """Day, symbol, open, high, low, close, day_volume: in order."""
    found: dict[tuple[datetime, str], list[Tick]] = {}
    for tick in sorted(ticks):
        found.setdefault((day(tick.time), tick.symbol), []).append(tick)
    return [
        (
            bucket,
            symbol,
            group[0].price,
            max(tick.price for tick in group),
            min(tick.price for tick in group),
            group[-1].price,
            group[-1].day_volume,
        )
        for (bucket, symbol), group in sorted(found.items())
    ]


def since(days: float) -> list[Tick]:
    """Ticks within so many days; none of them lies within a minute of that."""
    return [tick for tick in TICKS if tick.time > days_ago(days)]


def test_the_tutorials_statements_give_what_the_tutorial_shows(paste: Query) -> None:
    assert paste("SELECT * FROM stocks_real_time srt LIMIT 10")[0][:4] in TICKS
    newest = paste("SELECT * FROM stocks_real_time srt ORDER BY time DESC LIMIT 10")
    assert [row[:4] for row in newest] == sorted(TICKS, reverse=True)[:10]
    tesla = paste(
        "SELECT * FROM stocks_real_time srt WHERE symbol='TSLA' and day_volume is not null "
        "ORDER BY time DESC, day_volume desc LIMIT 10;"
    )
    assert [row[:4] for row in tesla] == sorted((tick for tick in TICKS if tick.symbol == "TSLA"), reverse=True)[:10]

    assert paste("SELECT * FROM company ORDER BY symbol") == sorted(NAMES.items())
    assert paste(
        "SELECT time, c.symbol, c.name, price FROM stocks_real_time srt JOIN company c ON c.symbol = srt.symbol "
        "WHERE c.name = 'Apple' AND time > now() - INTERVAL '4.1 days' ORDER BY time;"
    ) == [(tick.time, "AAPL", "Apple", tick.price) for tick in sorted(since(4.1)) if tick.symbol == "AAPL"]

    recent = sorted(since(4.1))
    assert paste(
        "SELECT symbol, first(price,time), last(price, time) FROM stocks_real_time srt "
        "WHERE time > now() - INTERVAL '4.1 days' GROUP BY symbol ORDER BY symbol LIMIT 10;"
    ) == [
        (symbol, *((prices := [tick.price for tick in recent if tick.symbol == symbol])[0], prices[-1]))
        for symbol in sorted(NAMES)
    ]
    ((average,),) = paste(
        "SELECT avg(price) FROM stocks_real_time srt JOIN company c ON c.symbol = srt.symbol "
        "WHERE c.name = 'Apple' AND time > now() - INTERVAL '4.1 days';"
    )
    apple = [tick.price for tick in recent if tick.symbol == "AAPL"]
    assert average == pytest.approx(sum(apple) / len(apple))
    averages = paste(
        "SELECT time_bucket('1 day', time) AS bucket, symbol, avg(price) FROM stocks_real_time srt "
        "WHERE time > now() - INTERVAL '7.1 days' GROUP BY bucket, symbol ORDER BY bucket, symbol;"
    )
    for bucket, symbol, average in averages:
        prices = [tick.price for tick in since(7.1) if (day(tick.time), tick.symbol) == (bucket, symbol)]
        assert average == pytest.approx(sum(prices) / len(prices))
    assert len(averages) == len(candles(since(7.1)))


def test_the_tutorials_candles_are_ours(paste: Query) -> None:
    truth = candles(TICKS)
    assert (
        paste(
            "SELECT time_bucket('1 day', time) AS bucket, symbol, FIRST(price, time) AS \"open\", MAX(price) AS high, "
            'MIN(price) AS low, LAST(price, time) AS "close", LAST(day_volume, time) AS day_volume '
            "FROM stocks_real_time GROUP BY bucket, symbol ORDER BY bucket, symbol;"
        )
        == truth
    )
    bitcoin = [row for row in truth if row[1] == "BTC/USD" and row[0] >= datetime.now(timezone.utc) - timedelta(14)]
    statement = (
        "SELECT * FROM one_day_candle WHERE symbol = 'BTC/USD' AND bucket >= NOW() - INTERVAL '14 days' ORDER BY bucket"
    )
    assert [row[:7] for row in paste(statement)] == bitcoin
    paste("CALL refresh_continuous_aggregate('one_minute_candle', NULL, now() - INTERVAL '1 minute')")
    paste("CALL refresh_continuous_aggregate('one_hour_candle', NULL, now() - INTERVAL '1 hour')")
    paste("CALL refresh_continuous_aggregate('one_day_candle', NULL, now() - INTERVAL '1 day')")
    assert [row[:7] for row in paste(statement)] == bitcoin, "materialized"
    hours = paste(
        "SELECT * FROM one_hour_candle WHERE symbol = 'BTC/USD' AND bucket >= NOW() - INTERVAL '2 day' ORDER BY bucket"
    )
    begin = datetime.now(timezone.utc) - timedelta(2)
    assert [(row[0], row[2]) for row in hours] == [
        (hour, tick.price)
        for tick in sorted(TICKS)
        if tick.symbol == "BTC/USD" and (hour := tick.time.replace(minute=0, second=0)) >= begin
    ]
    changes = paste(
        'SELECT *, ("close" - LAG("close", 1) OVER (PARTITION BY symbol ORDER BY bucket)) / "close" AS change_pct '
        "FROM one_day_candle WHERE symbol IN ('BTC/USD', 'TSLA') AND bucket >= NOW() - INTERVAL '14 days' "
        "ORDER BY bucket"
    )
    for symbol in ("BTC/USD", "TSLA"):
        closes = [row[5] for row in truth if row[1] == symbol and row[0] >= datetime.now(timezone.utc) - timedelta(14)]
        assert [row[-1] for row in changes if row[1] == symbol] == [
            None,
            *((close - before) / close for before, close in itertools.pairwise(closes)),
        ]
    # The tutorial's own aggregate beside ours: another name, since ours has its name already.
    paste(
        """
        CREATE MATERIALIZED VIEW stock_candlestick_daily WITH (timescaledb.continuous) AS
        SELECT time_bucket('1 day', "time") AS day, symbol, max(price) AS high, first(price, time) AS open,
            last(price, time) AS close, min(price) AS low
        FROM stocks_real_time srt GROUP BY day, symbol
        """
    )
    assert paste("SELECT day, symbol, open, high, low, close FROM stock_candlestick_daily ORDER BY day, symbol") == [
        row[:6] for row in truth
    ]
    paste(
        "SELECT add_continuous_aggregate_policy('stock_candlestick_daily', start_offset => INTERVAL '3 days', "
        "end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 days')"
    )
    paste("DROP MATERIALIZED VIEW stock_candlestick_daily")
