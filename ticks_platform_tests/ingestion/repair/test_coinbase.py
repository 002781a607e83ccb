"""A gap of Coinbase's trades: repaired from its REST API, and nothing is stored twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.coinbase_rest import CoinbaseRest, trades
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import add_gap, close_gaps, load_frames, minutes_ago, repair

COLUMNS = "time, symbol, price, size, trade_id"


@pytest.fixture
def exchange() -> Iterator[CoinbaseRest]:
    with CoinbaseRest() as api:
        yield api


def feed_of(exchange: CoinbaseRest, symbol: str = "BTC-USD") -> FeedSettings:
    return FeedSettings.model_validate(
        {
            "name": "coins",
            "provider": "coinbase",
            "endpoint": exchange.url,
            "synthetic_endpoint": True,
            "symbols": [symbol],
            "repair": {"delay_seconds": 0},
        }
    )


def frame(told: dict[str, Any]) -> bytes:
    return json.dumps({**told, "type": "match", "product_id": "BTC-USD"}).encode()


def ticks(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, f"SELECT {COLUMNS} FROM stocks_real_time ORDER BY time, tick_id")


def test_a_gap_is_repaired_with_the_trades_of_the_exchange(
    database: Database, tmp_path: Path, exchange: CoinbaseRest
) -> None:
    feed, begin = feed_of(exchange), minutes_ago(40)
    known = exchange.trades["BTC-USD"] = trades(6_000, begin, 1_800.0, first=5_000_000)
    missed_from, missed_to = begin + timedelta(minutes=5), begin + timedelta(minutes=15)
    is_missed = [missed_from <= begin + timedelta(seconds=0.3 * place) < missed_to for place in range(6_000)]
    load_frames(
        database, feed, tmp_path, *(frame(told) for told, missed in zip(known, is_missed, strict=True) if not missed)
    )
    assert len(ticks(database)) == 4_000
    add_gap(database, feed, "BTC-USD", missed_from, missed_to)
    exchange.limited = 1
    report = repair(database, feed, tmp_path, minute=0.1)
    assert (report.loaded, report.rejected) == (2_000, 0)
    assert report.duplicate >= 60, "the trades in the margins"
    assert [row[-1] for row in ticks(database)] == [str(told["trade_id"]) for told in known], "the exchange's order"
    assert close_gaps(database, feed).repaired == 1
    assert unbalanced(database) == []
    assert len(exchange.asked) <= 8


def test_a_product_that_is_not_there_cannot_be_repaired(
    database: Database, tmp_path: Path, exchange: CoinbaseRest
) -> None:
    feed = feed_of(exchange, "XX-YY")
    load_frames(database, feed, tmp_path)
    add_gap(database, feed, "XX-YY", minutes_ago(20), minutes_ago(19))
    assert repair(database, feed, tmp_path).loaded == 0
    assert close_gaps(database, feed).unrepairable == 1
    ((detail,),) = rows(database, "SELECT detail FROM ticks_platform.feed_gap")
    assert detail == "XX-YY: Coinbase answered 404: NotFound"
