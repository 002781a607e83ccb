"""The checks of what feeds deliver: stale feeds and channels that do not stream are found."""

from __future__ import annotations

import itertools
import time
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
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import CheckOne, insert_in_a_minute

DAY = timedelta(days=1)


def see_feed(database: Database, feed: str, *, age: float | None, enabled: bool = True) -> None:
    """A feed as the database knows it, with its last tick `age` seconds ago."""
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=enabled)
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
    assert feeds["stocks"]["age in seconds"] == "never received"
    assert "stocks (last tick never" in (evaluation.description or "")


@pytest.mark.parametrize(("since", "verdict"), [(30, "no tick yet"), (90, "stale")])
def test_a_feed_that_was_just_added_has_time_for_its_first_tick(
    database: Database, check_one: CheckOne, since: int, verdict: str
) -> None:
    see_feed(database, "crypto", age=1)
    see_feed(database, "stocks", age=None)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_ledger (feed, epoch, connection, first_received_at, last_received_at, "
            "frames, events, loaded, replaced, duplicate, rejected, control) "
            "VALUES ('stocks', 1, 1, now() - make_interval(secs => %s), now(), 1, 1, 0, 0, 0, 0, 1)",
            (since,),
        )
    evaluation, feeds = freshness(check_one)
    assert feeds["stocks"]["verdict"] == verdict
    assert evaluation.passed is (verdict != "stale")


def test_ticks_of_another_feed_do_not_count(database: Database, check_one: CheckOne) -> None:
    see_feed(database, "stocks", age=1)
    see_feed(database, "elsewhere", age=1)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert set(feeds) == {"stocks", "crypto"}
    assert feeds["crypto"]["verdict"] == "stale"


def test_freshness_reads_no_tick(database: Database, check_one: CheckOne) -> None:
    """A silent feed would make it read days of them: what is in the table, and when, says nothing here."""
    insert_in_a_minute(database, 100, hours_ago=0)
    see_feed(database, "stocks", age=90)
    see_feed(database, "crypto", age=1)
    evaluation, feeds = freshness(check_one)
    assert not evaluation.passed
    assert feeds["stocks"]["age in seconds"] >= 90


def test_channels_in_trouble_are_shown(database: Database, check_one: CheckOne) -> None:
    assert check_one("channels_are_streaming", "stocks_real_time").passed
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
        changes = [
            Change(State.STREAMING, 1_700_000_000_000_000_000, 1, "", notice)
            for notice in (
                Acknowledged(("AAPL", "MSFT", "NVDA")),
                ChannelsFailed({"XYZ": "unknown symbol"}),
                Silent({"MSFT": 77.0, "NVDA": 80.0}),
                HeardAgain(("NVDA",)),
            )
        ]
        channels.record(cursor, "stocks", changes)
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
        channels.record(
            cursor, "stocks", [Change(State.STREAMING, 1_700_000_000_000_000_000, 1, "", Unsubscribed(("XYZ", "MSFT")))]
        )
    assert check_one("channels_are_streaming", "stocks_real_time").passed


def test_a_feed_that_is_refused_or_not_connected_does_not_stream(database: Database, check_one: CheckOne) -> None:
    """Nothing was subscribed to, so no channel tells; the connections do."""

    moments = itertools.count(1)

    def connected(*states: tuple[str, str], epoch: int = 1) -> None:
        with database.transaction() as cursor:
            for state, detail in states:
                cursor.execute(
                    "INSERT INTO ticks_platform.feed_session (feed, epoch, connection, at, state, detail) "
                    "VALUES ('stocks', %s, 1, clock_timestamp() + %s * INTERVAL '20 milliseconds', %s, %s)",
                    (epoch, next(moments), state, detail),
                )

    def description() -> str:
        evaluation = check_one("channels_are_streaming", "stocks_real_time")
        assert evaluation.passed is (evaluation.description == "every channel streams")
        return evaluation.description or ""

    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
    assert description() == "every channel streams"
    connected(("connecting", "wss://provider"), ("connecting", "no such key"), ("backing off", "no such key; retrying"))
    assert description() == "stocks: not connected: no such key; retrying"
    connected(("connecting", "wss://provider"), ("refused", "no such key"), ("closed", "stopped"))
    assert description() == ("stocks: refused, and not tried again until .env or feeds.yaml is changed: no such key")
    # The next run starts over.
    connected(("connecting", "wss://provider"), ("subscribing", "to 2 symbols"), ("streaming", "first data"), epoch=2)
    assert description() == "every channel streams"
    with database.transaction() as cursor:
        change = Change(State.STREAMING, 1_700_000_000_000_000_000, 1, "", Acknowledged(("AAPL",)))
        channels.record(cursor, "stocks", [change])
    # A connection that was lost a moment ago.
    connected(("backing off", "code 1006"), epoch=2)
    assert description() == "every channel streams"
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_session SET at = at - INTERVAL '1 minute' WHERE state = 'streaming'")
        cursor.execute("DELETE FROM ticks_platform.feed_session WHERE state = 'subscribing'")
    assert description() == "stocks: not connected: code 1006"
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=False)
    assert description() == "every channel streams"


def test_a_silent_feed_of_a_closed_market_is_not_stale(
    project: Path, database: Database, check_one: CheckOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as cursor:
        for feed in ("stocks", "crypto"):
            switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=True)
    closed, an_hour_old, open_now = None, time.time() - 3600, time.time() - 1
    for opened, passed in ((closed, True), (an_hour_old, False), (open_now, True)):
        monkeypatch.setattr(Calendar, "open_since", lambda _calendar, _at, opened=opened: opened)
        assert check_one("ticks_are_fresh", "stocks_real_time").passed is passed
