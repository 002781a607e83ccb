"""The checks: they pass on good candles, and find each fault that is put into the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.feeds.calendars import Calendar
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, HeardAgain, Silent, Unsubscribed
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import channels, switch
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.ledger import HourEntry
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.dagster import checked

DAY = timedelta(days=1)

Invariants = Callable[[], list[dg.AssetCheckEvaluation]]
CheckOne = Callable[..., dg.AssetCheckEvaluation]


@pytest.fixture
def invariants(platform: dg.Definitions, instance: dg.DagsterInstance) -> Invariants:
    """Runs the check ohlc_invariants of the candles of minutes and of hours."""
    return lambda: checked(platform, instance, "ohlc_invariants", ONE_MINUTE.name, ONE_HOUR.name)


def insert(database: Database, *prices: str | float, symbol: str = "AAPL", hours_ago: float = 5) -> None:
    """Ticks of one minute, in the order given."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT at, %(symbol)s, price::double precision,
                   ('00000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, 'stocks', at
            FROM (SELECT price, number, date_trunc('hour', now()) - make_interval(secs => %(hours)s * 3600)
                                + number * INTERVAL '1 second' AS at
                  FROM unnest(%(prices)s) WITH ORDINALITY AS given (price, number)) AS ticks
            """,
            {"symbol": symbol, "hours": hours_ago, "prices": [str(price) for price in prices]},
        )


def refresh(database: Database) -> None:
    with database.autocommit() as cursor:
        for candle in (ONE_MINUTE, ONE_HOUR):
            candles.refresh_history(cursor, candle)


def examples(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    value = evaluation.metadata["examples"]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


@pytest.mark.usefixtures("database")
def test_no_candles_are_good_candles(invariants: Invariants) -> None:
    for evaluation in invariants():
        assert evaluation.passed
        assert evaluation.metadata["candles"].value == 0


@pytest.mark.parametrize("materialized", [True, False], ids=["materialized", "real-time"])
def test_good_candles_pass(database: Database, invariants: Invariants, materialized: bool) -> None:
    insert(database, 100, 101.5, 99.5, 0.0001)
    insert(database, 7, symbol="MSFT", hours_ago=4)
    insert(database, 7, symbol="MSFT", hours_ago=3)
    if materialized:
        refresh(database)
    for evaluation in invariants():
        assert evaluation.passed
        assert evaluation.metadata["candles"].value == 3
        assert evaluation.metadata["broken"].value == 0
        assert "examples" not in evaluation.metadata


@pytest.mark.parametrize("materialized", [True, False], ids=["materialized", "real-time"])
@pytest.mark.parametrize(
    ("price", "problem"),
    [
        ("NaN", "a price is not finite"),
        ("Infinity", "a price is not finite"),
        ("-Infinity", "a price is not finite"),
        (0, "a price is not positive"),
        (-0.01, "a price is not positive"),
    ],
)
def test_impossible_price_is_found(
    database: Database, invariants: Invariants, price: str | float, problem: str, materialized: bool
) -> None:
    insert(database, 100, price, 101, symbol="BAD")
    insert(database, 100, 102, 101, symbol="GOOD")
    if materialized:
        refresh(database)
    for evaluation in invariants():
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert evaluation.metadata["candles"].value == 2
        assert evaluation.metadata["broken"].value == 1
        assert "1 of 2" in (evaluation.description or "")
        (example,) = examples(evaluation)
        assert (example["symbol"], example["problem"]) == ("BAD", problem)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("open = NULL", "a price is missing"),
        ("close = 'NaN'", "a price is not finite"),
        ("high = 100.5", "high is not the highest"),
        ("low = 100.5", "low is not the lowest"),
        ("tick_count = 0", "no tick in it"),
    ],
)
def test_tampered_candle_is_found(database: Database, invariants: Invariants, fault: str, problem: str) -> None:
    """Faults that no tick can cause, put right into what is materialized."""
    insert(database, 100, 102, 101)
    refresh(database)
    with database.transaction() as cursor:
        cursor.execute(
            """
            SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
            FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'
            """
        )
        (table,) = cursor.fetchone() or ("",)
        cursor.execute(f"UPDATE {table} SET {fault}")
        assert cursor.rowcount == 1
    evaluation = invariants()[0]
    assert not evaluation.passed
    assert [example["problem"] for example in examples(evaluation)] == [problem]


def test_examples_are_few_and_the_newest(database: Database, invariants: Invariants) -> None:
    for hours_ago in range(2, 16):
        insert(database, -1, hours_ago=hours_ago)
    evaluation = invariants()[0]
    assert evaluation.metadata["broken"].value == 14
    buckets = [example["bucket"] for example in examples(evaluation)]
    assert len(buckets) == 10
    assert buckets == sorted(buckets, reverse=True)


def test_candles_of_long_ago_are_left_alone(database: Database, invariants: Invariants) -> None:
    insert(database, -1, hours_ago=24 * 8)
    evaluation = invariants()[0]
    assert evaluation.passed
    assert evaluation.metadata["candles"].value == 0


def see_feed(database: Database, feed: str, *, age: float | None, enabled: bool = True) -> None:
    """A feed as the database knows it, with its last tick `age` seconds ago."""
    with database.transaction() as cursor:
        switch.switch(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=enabled)
        if age is not None:
            at = datetime.now(timezone.utc) - timedelta(seconds=age)
            hour = at.replace(minute=0, second=0, microsecond=0)
            ledger.add_hours(
                cursor, feed, "stocks_real_time", [HourEntry(hour, 1, at), HourEntry(hour - DAY, 1, at - DAY)]
            )


def freshness(check_one: CheckOne) -> tuple[dg.AssetCheckEvaluation, dict[str, dict[str, Any]]]:
    evaluation = check_one("ticks_are_fresh", "stocks_real_time")
    table = evaluation.metadata["feeds"]
    assert isinstance(table, dg.TableMetadataValue)
    return evaluation, {str(record.data["feed"]): dict(record.data) for record in table.records}


def test_fresh(database: Database, check_one: CheckOne) -> None:
    """stocks may be 60 s old, by default; crypto 300 s, as its settings say."""
    see_feed(database, "stocks", age=20)
    see_feed(database, "crypto", age=200)
    evaluation, feeds = freshness(check_one)
    assert evaluation.passed
    assert {feed: row["verdict"] for feed, row in feeds.items()} == {"stocks": "fresh", "crypto": "fresh"}
    assert 20 <= feeds["stocks"]["age in seconds"] < 50
    oldest = evaluation.metadata["oldest in seconds"].value
    assert isinstance(oldest, float)
    assert 200 <= oldest < 230


def test_stale(database: Database, check_one: CheckOne) -> None:
    see_feed(database, "stocks", age=90)
    see_feed(database, "crypto", age=90)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert {feed: row["verdict"] for feed, row in feeds.items()} == {"stocks": "stale", "crypto": "fresh"}
    assert "stocks (last tick 9" in (evaluation.description or "")
    assert "crypto" not in (evaluation.description or "")


@pytest.mark.parametrize("age", [90, None])
def test_switched_off_is_not_stale(database: Database, check_one: CheckOne, age: float | None) -> None:
    see_feed(database, "stocks", age=age, enabled=False)
    see_feed(database, "crypto", age=1)
    evaluation, feeds = freshness(check_one)
    assert evaluation.passed
    assert feeds["stocks"]["verdict"] == "switched off"


@pytest.mark.parametrize("known", [True, False], ids=["feed known", "feed never seen"])
def test_never_a_tick_is_stale(database: Database, check_one: CheckOne, known: bool) -> None:
    see_feed(database, "crypto", age=1)
    if known:
        see_feed(database, "stocks", age=None)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert feeds["stocks"]["verdict"] == "stale"
    assert feeds["stocks"]["last tick"] == "never"
    assert "stocks (last tick never" in (evaluation.description or "")


def test_ticks_of_another_feed_do_not_count(database: Database, check_one: CheckOne) -> None:
    see_feed(database, "stocks", age=1)
    see_feed(database, "elsewhere", age=1)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert set(feeds) == {"stocks", "crypto"}
    assert feeds["crypto"]["verdict"] == "stale"


def test_freshness_reads_no_tick(database: Database, check_one: CheckOne) -> None:
    """A silent feed would make it read days of them: what is in the table, and when, says nothing here."""
    insert(database, 100, hours_ago=0)
    see_feed(database, "stocks", age=90)
    see_feed(database, "crypto", age=1)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert feeds["stocks"]["age in seconds"] >= 90


def test_channels_in_trouble_are_shown(database: Database, check_one: CheckOne) -> None:
    assert check_one("channels_are_streaming", "stocks_real_time").passed
    with database.transaction() as cursor:
        switch.switch(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
        changes = [
            Change(State.STREAMING, 1_700_000_000_000_000_000, 1, "", notice)
            for notice in (
                Acknowledged(("AAPL", "MSFT", "NVDA")),
                ChannelsFailed({"XYZ": "unknown symbol"}),
                Silent({"MSFT": 77.0, "NVDA": 80.0}),
                HeardAgain(("NVDA",)),
            )
        ]
        channels.note(cursor, "stocks", changes)
    found = check_one("channels_are_streaming", "stocks_real_time")
    assert not found.passed
    assert found.description == "stocks: 1 not subscribed; stocks: 1 silent"
    table = found.metadata["channels"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {(row.data["channel"], row.data["state"]) for row in table.records} == {
        ("XYZ", "failed"),
        ("MSFT", "silent"),
    }
    with database.transaction() as cursor:
        channels.note(
            cursor, "stocks", [Change(State.STREAMING, 1_700_000_000_000_000_000, 1, "", Unsubscribed(("XYZ", "MSFT")))]
        )
    assert check_one("channels_are_streaming", "stocks_real_time").passed


def test_a_silent_feed_of_a_closed_market_is_not_stale(
    project: Path, database: Database, check_one: CheckOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as cursor:
        for feed in ("stocks", "crypto"):
            switch.switch(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=True)
    closed, an_hour_old, open_now = None, time.time() - 3600, time.time() - 1
    for opened, passed in ((closed, True), (an_hour_old, False), (open_now, True)):
        monkeypatch.setattr(Calendar, "open_since", lambda _calendar, _at, opened=opened: opened)
        assert check_one("ticks_are_fresh", "stocks_real_time").passed is passed
