"""The ledger's hours: how a batch is counted, and how an upgrade counts the ticks that are already stored."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from ticks_platform.feeds.events import Tick
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.ledger import HourEntry
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
BEGIN = 1_767_225_600 * SECOND  # 2026-01-01 00:00 UTC


def batch(*ticks: tuple[int, int]) -> Rows:
    """Ticks by event time and arrival, in nanoseconds."""
    return Rows(
        [Tick("AAPL", at, 1.0) for at, _ in ticks],
        np.arange(len(ticks), dtype=np.int64),
        np.array([received_at for _, received_at in ticks], dtype=np.int64),
    )


def utc(hour: int, **later: float) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=timezone.utc) + timedelta(**later)


def test_ticks_are_counted_in_their_hour_whatever_their_order() -> None:
    late = BEGIN + 5 * HOUR
    found = ledger.hours(
        [
            batch((BEGIN + HOUR, late), (BEGIN + HOUR - 1, late + 9 * SECOND), (BEGIN, late + 3 * SECOND)),
            batch((BEGIN + 2 * HOUR - 1, late + SECOND)),
        ]
    )
    assert found == [HourEntry(utc(0), 2, utc(5, seconds=9)), HourEntry(utc(1), 2, utc(5, seconds=1))]


def test_no_ticks_no_hours() -> None:
    assert ledger.hours([]) == []


def test_many_hours_are_counted_in_one_pass() -> None:
    at = [(BEGIN + number * HOUR, BEGIN) for number in range(100_000)]
    ticks = batch(*at)
    began = time.process_time()
    assert len(ledger.hours([ticks])) == 100_000
    assert time.process_time() - began < 5


def test_only_loaded_ticks_are_counted(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    now = int(time.time())
    frames = [price(timestamp=now - 3600 * (number % 2)) for number in range(300)]
    frames[100] = price(symbol="BAD\x00SYMBOL", timestamp=now)
    frames[200] = b"not json"
    make_loader(take_lease("one"), frames).run()
    make_loader(take_lease("two"), [price(timestamp=now)]).run()
    assert rows(
        database,
        f"SELECT destination, hour = date_trunc('hour', to_timestamp({now}), 'UTC'), loaded, last_received_at = "
        "(SELECT max(received_at) FROM stocks_real_time WHERE time >= hour AND time < hour + INTERVAL '1 hour'), "
        "changed_at BETWEEN last_received_at AND clock_timestamp(), counted_since <= changed_at "
        "FROM ticks_platform.feed_hour ORDER BY hour",
    ) == [("stocks_real_time", False, 150, True, True, True), ("stocks_real_time", True, 149, True, True, True)]
    assert balanced(database)


def balanced(database: Database) -> bool:
    with database.transaction() as cursor:
        found = [problem for account in audit.accounts(cursor) for problem in account.problems()]
        found += audit.hours(cursor).problems() + audit.hours(cursor, everything=True).problems()
    return found == []


def upgrade(database: Database, *before: str) -> None:
    """Upgrade a database of the earlier version, in which these statements were executed."""
    with database.transaction() as cursor:
        cursor.execute("DROP TABLE ticks_platform.feed_hour CASCADE")
        for statement in before:
            cursor.execute(statement)
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE, *sql_files.MACHINERY)


def test_an_upgraded_database_balances(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    now = int(time.time())
    make_loader(take_lease("one"), [price(timestamp=now - 3600 * number) for number in range(50)]).run()
    counted = "SELECT feed, destination, hour, loaded, last_received_at FROM ticks_platform.feed_hour ORDER BY hour"
    before = rows(database, counted)
    upgrade(database)
    assert rows(database, counted) == before
    assert len(before) == 50
    make_loader(take_lease("two"), [price()]).run()
    assert balanced(database)


def test_applying_the_files_again_counts_nothing_twice(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    make_loader(take_lease("one"), [price(), price()]).run()
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.MACHINERY)
    assert rows(database, "SELECT sum(loaded) FROM ticks_platform.feed_hour") == [(2,)]


def test_chunks_dropped_before_the_upgrade_are_no_loss(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    now = int(time.time())
    make_loader(take_lease("one"), [price(timestamp=now - 86_400 * number) for number in range(10)]).run()
    upgrade(database, "SELECT drop_chunks('stocks_real_time', now() - INTERVAL '5 days')")
    assert rows(database, "SELECT loaded > 0 FROM ticks_platform.feed_hour WHERE hour = '-infinity'") == [(True,)]
    assert rows(database, "SELECT sum(loaded) FROM ticks_platform.feed_hour") == [(10,)]
    assert balanced(database)


def test_a_loader_of_the_earlier_version_cannot_continue_without_counting(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    lease = take_lease("old version")
    upgrade(database)
    with pytest.raises(LeaseLostError):
        make_loader(lease, [price()]).run()
    make_loader(take_lease("new version"), []).run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(1,)]
    assert balanced(database)


def test_ticks_of_an_unknown_feed_do_not_count_as_loaded(database: Database) -> None:
    upgrade(
        database,
        "INSERT INTO stocks_real_time (time, symbol, tick_id, feed, received_at) "
        "VALUES (now(), 'X', gen_random_uuid(), 'by hand', now())",
    )
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_hour") == [(0,)]
    with database.transaction() as cursor:
        assert audit.hours(cursor, everything=True).differing == 1
