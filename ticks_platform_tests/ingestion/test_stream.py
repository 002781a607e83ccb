"""Ingestion as a whole: from a socket on loopback into the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ticks_platform.feeds.connection import FeedRefusedError, State
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.lease import Lease, LeaseLostError, MixedDatabaseError
from ticks_platform.ingestion.stream import Ingestion
from ticks_platform.standin import StandIn, StandInSettings
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.helpers import rows


def ingest(feed: FeedSettings, stand_in: StandIn, database: Database, owner: str = "test") -> Ingestion:
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    return Ingestion(feed=feed, connector=connector, database=database, owner=owner)


@contextmanager
def eventually(what: str, seconds: float = 15.0) -> Iterator[Callable[[bool], bool]]:
    """A loop condition that fails the test when it has not come true in time."""
    deadline = time.monotonic() + seconds

    def not_yet(condition: bool) -> bool:
        assert condition or time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        return not condition

    yield not_yet


def await_ticks(ingestion: Ingestion, count: int) -> None:
    with eventually(f"{count} ticks committed") as not_yet:
        while not_yet(ingestion.progress().ticks >= count):
            ingestion.wait(0.02)


def test_every_tick_that_was_sent_is_stored_once(feed: FeedSettings, stand_in: StandIn, database: Database) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        stand_in.send_exactly(20_000, timeout_s=60)
    sent = stand_in.account()
    assert sent.price_events == 20_000
    assert ingestion.progress().ticks == 20_000
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(20_000, 20_000)]
    assert dict(rows(database, "SELECT symbol, count(*) FROM stocks_real_time GROUP BY symbol")) == sent.symbols
    stored = rows(database, "SELECT symbol, price FROM stocks_real_time ORDER BY tick_id")
    assert stored == [(event["symbol"], event["price"]) for event in sent.connections[0].price_events_sent()]


def test_a_quiet_feed_commits_within_a_quarter_of_a_second(
    feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    lags = []
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=10)
        for count in range(1, 8):
            stand_in.send_exactly(1, timeout_s=10)
            await_ticks(ingestion, count)
            lags.append(ingestion.progress().lag_seconds)
    assert sorted(lag for lag in lags if lag is not None)[len(lags) // 2] < 0.25


def test_it_goes_on_after_the_provider_dropped_it(feed: FeedSettings, stand_in: StandIn, database: Database) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        for _ in range(3):
            stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=20)
            stand_in.send_exactly(100, timeout_s=10)
            await_ticks(ingestion, ingestion.progress().ticks + 1)
            stand_in.drop_connections()
    assert ingestion.progress().connections >= 3
    ticks = ingestion.progress().ticks
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(ticks, ticks)]
    states = [row[0] for row in rows(database, "SELECT state FROM ticks_platform.feed_session ORDER BY at")]
    assert states.count("backing off") >= 3
    assert states[-1] == "closed"


def test_switching_the_feed_off_ends_it_with_everything_stored(
    feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=10)
        stand_in.send_exactly(50, timeout_s=10)
        with database.transaction() as cursor:
            switch.switch(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
        assert ingestion.wait(10), "it ends by itself"
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(50,)]


def test_the_newest_owner_wins(
    feed: FeedSettings, stand_in: StandIn, database: Database, take_lease: Callable[[str], Lease]
) -> None:
    with ingest(feed, stand_in, database, owner="old") as old:
        stand_in.wait_until_subscribed("AAPL", timeout_s=10)
        take_lease("new")
        with pytest.raises(LeaseLostError):
            old.wait(10)


def test_a_refused_key_ends_it_with_the_reason(feed: FeedSettings, database: Database) -> None:
    with (
        StandIn(StandInSettings(rate=0, keys=("another",))) as stand_in,
        ingest(feed, stand_in, database) as ingestion,
        pytest.raises(FeedRefusedError, match="API key"),
    ):
        ingestion.wait(15)
    assert ingestion.progress().state is State.REFUSED
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_session WHERE state = 'refused'") == [(1,)]


def test_it_will_not_mix_synthetic_ticks_with_live_ones(
    feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with database.transaction() as cursor:
        switch.switch(cursor, feed="stocks", provider="twelve_data", synthetic=False, enabled=True)
    with ingest(feed, stand_in, database) as ingestion, pytest.raises(MixedDatabaseError, match="stocks"):
        ingestion.wait(15)


def test_it_waits_for_a_database_that_is_not_there_yet(feed: FeedSettings, stand_in: StandIn) -> None:
    nowhere = Database("postgresql://somebody:secret@127.0.0.1:1/nowhere")
    with ingest(feed, stand_in, nowhere) as ingestion:
        with eventually("the trouble is seen") as not_yet:
            while not_yet(ingestion.progress().trouble is not None):
                ingestion.wait(0.02)
        assert not ingestion.wait(0)
        assert "secret" not in str(ingestion.progress().trouble)


def test_failed_symbols_are_reported(stand_in: StandIn, database: Database) -> None:
    feed = FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "NOSUCHTHING"]}
    )
    with ingest(feed, stand_in, database) as ingestion:
        with eventually("the failed symbol is seen") as not_yet:
            while not_yet(bool(ingestion.progress().failed_symbols)):
                ingestion.wait(0.02)
        assert list(ingestion.progress().failed_symbols) == ["NOSUCHTHING"]
