"""What is old goes into compressed chunks, also where the server limits what one transaction may unpack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ticks_platform.feeds.events import Correction, Event
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, trade, unbalanced
from ticks_platform_tests.support.limited_unpacking import limited_unpacking

Sent = dict[str, Any]

DAY = 86_400
OLD = int(time.time()) // DAY * DAY - 3 * DAY + 15 * 3600
"""A time of three days ago, in seconds since the Unix epoch."""

CANCEL = {"cancel": "50"}
"""Stands for a cancel, of which the stream says nothing."""

TABLES = ("stocks_real_time", "stock_quotes", "stock_aggregates")


def bar(number: int, close: float = 1.0) -> Sent:
    begin = (OLD + 60 * number) * 1000
    prices = {"o": 1.0, "h": 9.0, "l": 0.5, "c": close, "v": 10}
    return {"ev": "AM", "sym": "AAPL", "s": begin, "e": begin + 60_000, **prices}


def quote(number: int) -> Sent:
    return {"ev": "Q", "sym": "AAPL", "bp": 1.0, "ap": 2.0, "t": (OLD + number) * 1000}


def old_trade(number: int) -> Sent:
    return trade(str(number), at=OLD + number)


def decode(data: bytes) -> list[Event]:
    """The events of a frame, as Polygon sends them but for CANCEL."""
    sent = json.loads(data)
    events = list(polygon_events.decode(frame(*[event for event in sent if event != CANCEL])))
    if CANCEL in sent:
        events.append(Correction("AAPL", OLD * 10**9, "4", CANCEL["cancel"], "cancelled", "test 8"))
    return events


@pytest.fixture
def compressed(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Iterator[None]:
    """A hundred trades, quotes and bars of three days ago, by column, and sessions that may unpack ten rows."""
    with database.transaction() as cursor:
        # As users do with the tables that have no policy of ours.
        for table, orders in (("stock_quotes", "time DESC"), ("stock_aggregates", "start_time DESC, end_time, feed")):
            cursor.execute(
                f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol', "
                f"timescaledb.compress_orderby = '{orders}')"
            )
    frames = [frame(old_trade(number), quote(number), bar(number)) for number in range(100)]
    make_loader(take_lease("before"), frames, polygon_events.decode).run()
    for table in TABLES:
        done = rows(database, f"SELECT count(compress_chunk(chunk, true)) FROM show_chunks('{table}') AS chunk")
        assert done == [(1,)]
    with limited_unpacking(database):
        yield


@pytest.mark.full
def test_it_is_stored_and_trades_go_on(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, compressed: None
) -> None:
    now = time.time()
    late = [bar(50, close=7.0), bar(200, close=8.0), quote(50), trade("late", at=OLD + 50), CANCEL]
    for number, event in enumerate(late):
        # Each in a transaction of its own: the limit is the transaction's.
        made = make_loader(take_lease(f"{number}"), [frame(trade(f"new {number}", at=now), event)], decode)
        made.run()
        assert (made.metrics.rejected, made.metrics.retries) == (0, 0)
    assert rows(database, "SELECT count(*) FROM stocks_real_time WHERE trade_id LIKE 'new%'") == [(5,)]
    assert rows(database, "SELECT close_price FROM stock_aggregates WHERE close_price > 1 ORDER BY 1") == [(7,), (8,)]
    assert rows(database, "SELECT count(*) FROM stock_quotes") == [(101,)]
    assert rows(database, "SELECT trade_id FROM stocks_real_time WHERE updates & 8 <> 0") == [("50",)]
    assert rows(database, "SELECT count(*) FROM stocks_real_time WHERE trade_id = 'late'") == [(1,)]
    assert unbalanced(database) == []
