"""What is meant to change stored ticks is no alarm, in open, proven and sealed hours; another change is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.feeds.events import Correction, Event, Tick
from ticks_platform.feeds.us_stocks.conditions import Rule, Rules, packaged_rules
from ticks_platform.ingestion import audit, eligibility
from ticks_platform.timescale import gone, renames, seals
from ticks_platform.timescale.candles import candles, primary_feeds, reconciliation
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.rows.test_corrections import decode, framed
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, rows

pytestmark = pytest.mark.full

HOUR = 3600
NOON = int(time.time()) // 86_400 * 86_400 - 86_400 // 2
"""Noon of yesterday, UTC."""
NEW = int(time.time()) // 10 * 10 - 200
"""In an hour that is open, or was until a moment ago."""
DAY = datetime.fromtimestamp(NOON, timezone.utc).replace(hour=0)

Load = Callable[..., None]


def trade(number: int, at: int, symbol: str = "AAPL") -> Tick:
    return Tick(
        symbol, at * 10**9, 100.0 + number, size=5.0, exchange="4", trade_id=str(at), conditions=(37,), updates=4
    )


def trades(at: int) -> list[Event]:
    return [trade(number, at + number) for number in range(3)]


@pytest.fixture
def load(take_lease: TakeLease, make_loader: LoaderOf) -> Load:
    def load(events: Sequence[Event]) -> None:
        make_loader(take_lease(f"owner {time.monotonic_ns()}"), [framed(*events)], decode).run()

    return load


def execute(database: Database, statement: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement)


def compress(database: Database) -> None:
    with database.autocommit() as cursor:
        cursor.execute(
            "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass, if_not_compressed => true) "
            "FROM timescaledb_information.chunks WHERE hypertable_name = 'stocks_real_time' "
            f"AND range_end <= to_timestamp({NOON + 12 * HOUR})"
        )


def problems(database: Database) -> list[str]:
    """What all checks find now: the schedule's as they are and some minutes later, and the daily ones."""
    found: list[str] = []
    with database.autocommit() as cursor:
        for _ in range(2):
            found += audit.hours(cursor, fresh=timedelta(minutes=6), patience=True, sliced=0).problems()
            audit.fill_fingerprints(cursor)
            seals.follow(cursor)
            found += [str(each) for each in reconciliation.reconcile(cursor).wrong.examples]
            for table, column in (("proven_hour", "proven_at"), ("proven_slice", "read_at")):
                cursor.execute(f"UPDATE ticks_platform.{table} SET {column} = {column} - INTERVAL '7 minutes'")
        unsealed = seals.check(cursor)
        found += audit.hours(cursor, everything=True).problems()
        seals.stamp(cursor, unsealed)
        found += audit.hours(cursor, oldest=True).problems()
    return found


@pytest.fixture
def proven(database: Database, load: Load) -> Database:
    """Trades of an open hour, and of two hours of yesterday, whose chunk is sealed."""
    load([*trades(NOON), *trades(NOON + HOUR), *trades(NEW)])
    with database.autocommit() as cursor:
        for candle in CANDLES:
            candles.refresh_history(cursor, candle)
    assert problems(database) == []
    compress(database)
    assert problems(database) == []
    assert rows(database, "SELECT count(*) FROM ticks_platform.sealed_chunk") == [(1,)]
    return database


def check(database: Database) -> None:
    """Nothing is wrong, also after the chunk was compressed again; then a change of any hour is found."""
    assert problems(database) == []
    compress(database)
    assert problems(database) == []
    assert rows(database, "SELECT count(*) FROM ticks_platform.sealed_chunk") == [(1,)]
    for at in (NOON, NEW):
        execute(database, f"UPDATE stocks_real_time SET price = price * 2 WHERE time = to_timestamp({at} + 1)")
        assert any("are not those that were loaded" in each for each in problems(database))
        execute(database, f"UPDATE stocks_real_time SET price = price / 2 WHERE time = to_timestamp({at} + 1)")
        execute(database, "UPDATE ticks_platform.wrong_hour SET retry_at = now()")
        assert problems(database) == []


def test_corrections(proven: Database, load: Load) -> None:
    load([Correction("AAPL", at * 10**9, "4", str(at), "cancelled", "test 8") for at in (NOON, NOON + HOUR, NEW)])
    assert rows(proven, "SELECT count(*) FROM stocks_real_time WHERE updates & 8 = 8") == [(3,)]
    check(proven)


def test_ticks_that_come_late(proven: Database, load: Load) -> None:
    load([trade(7, NOON + 7), trade(8, NOON + 5 * HOUR, "MSFT"), trade(9, NEW + 1, "MSFT")])
    check(proven)


def test_bits_that_are_computed_again(proven: Database) -> None:
    rules = Rules(
        [
            *packaged_rules().rules,
            Rule(2, DAY.date() - timedelta(days=9), "polygon", 37, "a name", "", True, True, True),
        ]
    )
    assert sum(each.ticks for each in eligibility.recompute(proven, ["test"], DAY, rules)) == 6
    check(proven)


def test_a_feed_that_becomes_secondary_and_primary_again(proven: Database) -> None:
    for feeds, bit in (
        (primary_feeds.Feeds([], ["test"], {}), 16),
        (primary_feeds.Feeds(["test"], [], {"test": lambda _: True}), 0),
    ):
        assert primary_feeds.apply(proven, feeds, DAY) == 6
        assert rows(
            proven, f"SELECT DISTINCT updates & 16 FROM stocks_real_time WHERE time < '{DAY + timedelta(1)}'"
        ) == [(bit,)]
        assert problems(proven) == []
    check(proven)


def test_a_symbol_that_gets_another_name(proven: Database) -> None:
    with proven.transaction() as cursor:
        planned = renames.plan(cursor, {(None, "AAPL"): "APPLE"}, [])
    renames.apply(proven, planned, lambda _: None)
    assert rows(proven, "SELECT DISTINCT symbol FROM stocks_real_time") == [("APPLE",)]
    check(proven)


def test_ticks_that_are_declared_gone(proven: Database) -> None:
    execute(proven, f"DELETE FROM stocks_real_time WHERE time IN (to_timestamp({NOON}), to_timestamp({NEW}))")
    assert len(problems(proven)) > 0
    with proven.transaction() as cursor:
        found = gone.declare(cursor, "stocks_real_time", declared_by="me", reason="meant")
    assert found.rows == 2
    check(proven)


def test_the_hours_in_which_clocks_change(database: Database, load: Load) -> None:
    """In New York, Berlin and Lord Howe, whose clocks change by half an hour; by whatever zone the server has."""
    with database.autocommit() as cursor:
        cursor.execute("SELECT current_database()")
        ((name,),) = cursor.fetchall()
        cursor.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Australia/Lord_Howe'")
    changes = ("2026-03-08 07:00", "2026-03-29 01:00", "2026-04-04 15:00", "2025-10-04 15:30", "2025-11-02 06:00")
    try:
        for each in changes:
            at = int(datetime.fromisoformat(f"{each}+00:00").timestamp())
            load([*trades(at - HOUR), *trades(at), *trades(at + HOUR // 2), *trades(at + HOUR)])
        assert problems(database) == []
        execute(database, "UPDATE stocks_real_time SET price = price * 2 WHERE time = '2026-03-08 07:00:01+00'")
        assert [each for each in problems(database) if "2026-03-08 07:00 UTC" in each]
    finally:
        execute(database, f'ALTER DATABASE "{name}" RESET timezone')
