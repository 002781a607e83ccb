"""`subscribe` to tables and candles of a real TimescaleDB."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest

from ticks_platform.feeds.settings import SettingsError
from ticks_platform.subscribing import Change, subscribe, table
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform_tests.support.subscribing import Recorder

POLLS = 1.0
"""Seconds of several polls, to check that nothing more is delivered."""


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PAGE", 7)


def now() -> datetime:
    return datetime.now(timezone.utc)


def minute_of_its_own() -> datetime:
    """A time in a minute, and an hour, that does not end within a minute; up to five minutes ahead are allowed."""
    return now().replace(second=1, microsecond=0) + timedelta(minutes=1)


def insert_ticks(database: Database, *ticks: tuple[datetime, str, float]) -> None:
    insert(
        database,
        """
        INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
        VALUES (%s, %s, %s, %s, 'f', now())
        """,
        [(*tick, str(uuid.uuid4())) for tick in ticks],
    )


def insert_bar(database: Database, start: datetime, close: float) -> None:
    insert(
        database,
        """
        INSERT INTO stock_aggregates (symbol, start_time, end_time, close_price, feed, received_at)
        VALUES ('AAPL', %s, %s, %s, 'f', now())
        ON CONFLICT (symbol, start_time, end_time, feed) DO UPDATE SET close_price = excluded.close_price
        """,
        [(start, start + timedelta(minutes=1), close)],
    )


def insert(database: Database, statement: str, rows: list[tuple[Any, ...]]) -> None:
    with database.transaction() as cursor:
        cursor.executemany(statement, rows)


def test_every_tick_that_is_committed_comes_once_also_those_of_one_time_and_late_ones(database: Database) -> None:
    begin = now()
    insert_ticks(database, (begin, "OLD", 1.0))
    recorder = Recorder()
    with subscribe("stocks_real_time", recorder, database=database):
        same = [(begin, "AAPL", float(number)) for number in range(20)]
        insert_ticks(database, *same)
        recorder.wait_for(20)
        late = [(begin - timedelta(seconds=30), "MSFT", 1.0), (begin - timedelta(seconds=10), "MSFT", 2.0)]
        insert_ticks(database, *late)
        recorder.wait_for(22)
        time.sleep(POLLS)
        recorder.wait_for(22)
    assert sorted(change.row.price for change in recorder.changes[:20]) == [float(number) for number in range(20)]
    assert [(change.row.symbol, change.row.price) for change in recorder.changes[20:]] == [("MSFT", 1.0), ("MSFT", 2.0)]
    assert all(change.is_addition for change in recorder.changes)
    assert len({change.key for change in recorder.changes}) == 22
    assert recorder.changes[0].time == begin
    assert recorder.changes[0].time.tzinfo is timezone.utc


def test_quotes_of_many_symbols_come_once(database: Database) -> None:
    recorder = Recorder()
    begin = now()
    with subscribe("stock_quotes", recorder, database=database):
        insert(
            database,
            """
            INSERT INTO stock_quotes (time, symbol, bid_price, quote_id, feed, received_at)
            VALUES (%s, %s, 1, %s, 'f', now())
            """,
            [(begin + timedelta(milliseconds=number), f"S{number % 9}", str(uuid.uuid4())) for number in range(40)],
        )
        recorder.wait_for(40)
        time.sleep(POLLS)
        recorder.wait_for(40)
    assert [change.row.symbol for change in recorder.changes] == [f"S{number % 9}" for number in range(40)]


def test_a_bar_that_was_corrected_comes_as_the_old_one_and_the_new_one(database: Database) -> None:
    start = now().replace(second=0, microsecond=0)
    insert_bar(database, start, 1.0)
    recorder = Recorder()
    with subscribe("stock_aggregates", recorder, database=database):
        insert_bar(database, start, 2.0)
        recorder.wait_for(2)
        insert_bar(database, start - timedelta(minutes=1), 5.0)
        recorder.wait_for(3)
    assert [(change.row.close_price, change.is_addition) for change in recorder.changes] == [
        (1.0, False),
        (2.0, True),
        (5.0, True),
    ]
    assert recorder.changes[0].key == recorder.changes[1].key != recorder.changes[2].key
    assert recorder.changes[0].key.symbol == "AAPL"


@pytest.mark.parametrize("candle", ["one_minute_candle", "one_hour_candle"])
def test_a_candle_that_changed_comes_as_the_old_one_and_the_new_one(database: Database, candle: str) -> None:
    at = minute_of_its_own()
    recorder = Recorder()
    with subscribe(candle, recorder, database=database):
        insert_ticks(database, (at, "AAPL", 10.0))
        recorder.wait_for(1)
        insert_ticks(database, (at, "AAPL", 12.0))
        recorder.wait_for(3)
        time.sleep(POLLS)
        recorder.wait_for(3)
    assert [(change.row.high, change.row.tick_count, change.is_addition) for change in recorder.changes] == [
        (10.0, 1, True),
        (10.0, 1, False),
        (12.0, 2, True),
    ]
    assert {change.key for change in recorder.changes} == {(recorder.changes[0].row.symbol, recorder.changes[0].time)}
    assert recorder.changes[0].time == recorder.changes[0].row.bucket <= at


def test_a_candle_of_volume_alone_comes_and_gets_its_prices(database: Database) -> None:
    at = minute_of_its_own()
    recorder = Recorder()
    with subscribe("one_minute_candle", recorder, database=database):
        for price, updates in ((9.0, 4), (10.0, None)):
            insert(
                database,
                """
                INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates)
                VALUES (%s, 'AAPL', %s, 5, %s, 'f', now(), %s)
                """,
                [(at, price, str(uuid.uuid4()), updates)],
            )
            recorder.wait_for(1 if updates else 3)
    assert [(change.row.close, change.row.volume, change.is_addition) for change in recorder.changes] == [
        (None, 5.0, True),
        (None, 5.0, False),
        (10.0, 10.0, True),
    ]


def test_nothing_is_dropped_while_the_subscriber_is_slow(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even for longer than `recent_seconds`, which counts from the newest row that was read."""
    recorder = Recorder()
    go_on = threading.Event()

    def slowly(change: Change) -> None:
        if not recorder.changes:
            go_on.wait(60)
        recorder(change)

    with subscribe("stocks_real_time", slowly, database=database, recent_seconds=0.5):
        expected = 0
        for _ in range(15):
            insert_ticks(database, *[(now(), "AAPL", float(expected + number)) for number in range(10)])
            expected += 10
            time.sleep(0.1)
        go_on.set()
        recorder.wait_for(expected)
    assert sorted(change.row.price for change in recorder.changes) == [float(number) for number in range(expected)]


def test_a_lost_connection_is_replaced(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    opened: list[Any] = []
    connect = database.connect

    def remember(name: str = "") -> Any:
        opened.append(connect(name))
        return opened[-1]

    monkeypatch.setattr(database, "connect", remember)
    with subscribe("stocks_real_time", recorder, database=database):
        opened[0].close()
        insert_ticks(database, (now(), "AAPL", 1.0))
        recorder.wait_for(1)
    assert all(connection.closed for connection in opened)


def test_what_the_subscriber_raises_ends_the_subscription(database: Database) -> None:
    """Even if it looks like a database error: the subscriber may use a database of its own."""
    calls = Recorder()

    def fail(change: Change) -> None:
        calls(change)
        raise psycopg2.OperationalError("of mine")

    with subscribe("stocks_real_time", fail, database=database) as subscription:
        insert_ticks(database, (now(), "AAPL", 1.0), (now(), "AAPL", 2.0))
        with pytest.raises(psycopg2.OperationalError, match="of mine"):
            subscription.wait(60)
    assert len(calls.changes) == 1


def test_after_close_there_are_no_more_calls(database: Database) -> None:
    recorder = Recorder()
    subscription = subscribe("stocks_real_time", recorder, database=database)
    subscription.close()
    insert_ticks(database, (now(), "AAPL", 1.0))
    time.sleep(POLLS)
    assert recorder.changes == []
    assert subscription.wait(0)


def test_a_table_that_is_not_there_is_raised_in_the_caller(empty_database: Database) -> None:
    with pytest.raises(SettingsError, match=r"no stocks_real_time.*materialize"):
        subscribe("stocks_real_time", Recorder(), database=empty_database)


def test_a_database_that_is_not_there_is_raised_in_the_caller() -> None:
    with pytest.raises(DatabaseUnavailableError):
        subscribe("stocks_real_time", Recorder(), database=Database("postgresql://nobody@127.0.0.1:1/none"))


def test_a_table_that_is_dropped_ends_the_subscription(database: Database) -> None:
    subscription = subscribe("stock_quotes", Recorder(), database=database)
    with database.transaction() as cursor:
        cursor.execute("DROP TABLE stock_quotes")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        subscription.wait(60)
