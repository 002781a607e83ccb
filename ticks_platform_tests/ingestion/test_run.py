"""Whole ingestions, from a socket on loopback into the table."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg2
import pytest
import requests

from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.settings import FeedSettings, JournalSettings
from ticks_platform.feeds.transport import reconnect
from ticks_platform.feeds.transport.state import State
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.lease import Lease, LeaseLostError, MixedDatabaseError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import price, rows
from ticks_platform_tests.support.ports import free_port
from ticks_standin import StandIn, StandInSettings


class Ingest(Protocol):
    """Creates an ingestion of a feed with the test's own journal."""

    def __call__(self, feed: FeedSettings, stand_in: StandIn, database: Database, owner: str = "test") -> Ingestion: ...


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    def make(feed: FeedSettings, stand_in: StandIn, database: Database, owner: str = "test") -> Ingestion:
        connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        path = tmp_path / "stream.sqlite3"
        return Ingestion(feed=feed, connector=connector, database=database, owner=owner, journal_file=path)

    return make


@contextmanager
def eventually(what: str, seconds: float = 60.0) -> Iterator[Callable[[bool], bool]]:
    """A loop condition that fails the test after `seconds`."""
    deadline = time.monotonic() + seconds

    def not_yet(condition: bool) -> bool:
        assert condition or time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        return not condition

    yield not_yet


def await_ticks(ingestion: Ingestion, count: int) -> None:
    with eventually(f"{count} ticks committed") as not_yet:
        while not_yet(ingestion.progress().loaded >= count):
            ingestion.wait(0.02)


def test_every_tick_that_was_sent_is_stored_once(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        stand_in.send_exactly(20_000, timeout_s=60)
    sent = stand_in.account()
    assert sent.price_events == 20_000
    assert ingestion.progress().loaded == 20_000
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(20_000, 20_000)]
    assert dict(rows(database, "SELECT symbol, count(*) FROM stocks_real_time GROUP BY symbol")) == sent.symbols
    stored = rows(database, "SELECT symbol, price FROM stocks_real_time ORDER BY tick_id")
    assert stored == [(event["symbol"], event["price"]) for event in sent.connections[0].price_events_sent()]


def test_a_quiet_feed_commits_within_a_quarter_of_a_second(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        for count in range(1, 8):
            stand_in.send_exactly(1, timeout_s=60)
            await_ticks(ingestion, count)
    median = ingestion.metrics.commit_latency.quantile(0.5)
    assert median is not None
    assert median <= 0.25


def test_it_continues_after_the_provider_dropped_the_connection(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        for _ in range(3):
            stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
            stand_in.send_exactly(100, timeout_s=60)
            await_ticks(ingestion, ingestion.progress().loaded + 1)
            stand_in.drop_connections()
    assert ingestion.progress().connections >= 3
    ticks = ingestion.progress().loaded
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(ticks, ticks)]
    states = [row[0] for row in rows(database, "SELECT state FROM ticks_platform.feed_session ORDER BY at")]
    assert states.count("backing off") >= 2
    assert states[-1] == "closed"


def test_disabling_the_feed_ends_it_with_everything_stored(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        stand_in.send_exactly(50, timeout_s=60)
        with database.transaction() as cursor:
            switch.set_enabled(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
        assert ingestion.wait(60), "it ends by itself"
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(50,)]


def test_the_newest_owner_takes_over(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database, take_lease: Callable[[str], Lease]
) -> None:
    with ingest(feed, stand_in, database, owner="old") as old:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        take_lease("new")
        with pytest.raises(LeaseLostError):
            old.wait(60)


def test_a_refused_key_ends_it_with_the_reason(
    ingest: Ingest, feed: FeedSettings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    with (
        StandIn(StandInSettings(rate=0, keys=("another",))) as stand_in,
        ingest(feed, stand_in, database) as ingestion,
        pytest.raises(FeedRefusedError, match="API key"),
    ):
        ingestion.wait(60)
    assert ingestion.progress().state is State.REFUSED
    assert "refused the API key" in (ingestion.progress().trouble or "")
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_session WHERE state = 'refused'") == [(1,)]


def test_it_does_not_mix_synthetic_and_live_ticks(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=False, enabled=True)
    with ingest(feed, stand_in, database) as ingestion, pytest.raises(MixedDatabaseError, match="stocks"):
        ingestion.wait(60)


def test_it_waits_for_an_unavailable_database(ingest: Ingest, feed: FeedSettings, stand_in: StandIn) -> None:
    nowhere = Database("postgresql://somebody:secret@127.0.0.1:1/nowhere")
    with ingest(feed, stand_in, nowhere) as ingestion:
        with eventually("the trouble is reported") as not_yet:
            while not_yet(ingestion.progress().trouble is not None):
                ingestion.wait(0.02)
        assert not ingestion.wait(0)
        assert "secret" not in str(ingestion.progress().trouble)


def test_failed_channels_are_reported(ingest: Ingest, stand_in: StandIn, database: Database) -> None:
    feed = FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "NOSUCHTHING"]}
    )
    with ingest(feed, stand_in, database) as ingestion:
        with eventually("the failed symbol is reported") as not_yet:
            while not_yet(bool(ingestion.progress().failed_channels)):
                ingestion.wait(0.02)
        assert list(ingestion.progress().failed_channels) == ["NOSUCHTHING"]
        # Once it has been taken out of feeds.yaml, it is no trouble any more.
        ingestion.apply_settings(feed.model_copy(update={"symbols": feed.symbols[:1]}))
        assert not ingestion.progress().failed_channels
        with eventually("the symbol's channel is deleted") as not_yet:
            while not_yet(rows(database, "SELECT channel FROM ticks_platform.feed_channel") == [("AAPL",)]):
                ingestion.wait(0.02)


def test_uncommitted_frames_wait_in_the_journal_for_the_next_start(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with ingest(feed, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        stand_in.send_exactly(10, timeout_s=60)
        await_ticks(ingestion, 10)
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
        stand_in.send_exactly(500, timeout_s=60)
        with eventually("the trouble is reported") as not_yet:
            while not_yet(ingestion.progress().trouble is not None and ingestion.progress().waiting_bytes > 50_000):
                ingestion.wait(0.02)
    assert ingestion.progress().loaded == 10
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")
    with ingest(feed, stand_in, database) as ingestion:
        await_ticks(ingestion, 500)
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(510, 510)]
    assert rows(database, "SELECT sum(frames), sum(loaded) FROM ticks_platform.feed_ledger WHERE loaded > 0") == [
        (511, 510)
    ]


def test_a_full_journal_pauses_reading_and_reports_it(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    small = feed.model_copy(update={"journal": JournalSettings(max_megabytes=1)})
    with ingest(small, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
        sender = threading.Thread(target=lambda: stand_in.send_exactly(60_000, timeout_s=60))
        sender.start()
        with eventually("the journal is full") as not_yet:
            while not_yet("max_megabytes" in (ingestion.progress().trouble or "")):
                ingestion.wait(0.02)
        assert ingestion.progress().waiting_bytes < 3 << 20
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")
        sender.join(60)
        await_ticks(ingestion, 60_000)
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(60_000, 60_000)]
    assert ingestion.progress().trouble is None


@pytest.mark.full
def test_a_message_that_has_no_room_in_the_journal_is_named_and_its_feed_goes_on(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    small = feed.model_copy(update={"journal": JournalSettings(max_megabytes=1)})
    with ingest(small, stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=10)
        stand_in.inject(price(padding="x" * 200_000))
        await_ticks(ingestion, 1)
        stand_in.inject(price(padding="x" * (3 << 20)))
        with eventually("it connects again") as not_yet:
            while not_yet(ingestion.progress().connections == 2):
                ingestion.wait(0.02)
        stand_in.wait_until_subscribed("AAPL", timeout_s=10)
        stand_in.send_exactly(25, timeout_s=10)
        await_ticks(ingestion, 26)
    found = rows(database, "SELECT detail FROM ticks_platform.feed_session WHERE detail LIKE '%journal.max_megabytes%'")
    assert found
    assert all("a message of more than 0." in detail for (detail,) in found)


def test_prometheus_reads_its_metrics(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database, unused_port: int
) -> None:
    with ingest(feed.model_copy(update={"metrics_port": unused_port}), stand_in, database) as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        stand_in.send_exactly(25, timeout_s=60)
        await_ticks(ingestion, 25)
        text = requests.get(f"http://127.0.0.1:{unused_port}/metrics", timeout=60).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['ticks_loaded_total{feed="test"}']) == 25
    assert float(lines['ticks_commit_latency_seconds_count{feed="test"}']) == 25
    assert float(lines['ticks_connected{feed="test"}']) == 1
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{unused_port}/metrics", timeout=60)


@pytest.fixture
def unused_port() -> int:
    return free_port()


def test_the_connection_of_an_owner_that_is_stuck_in_a_transaction_is_terminated(
    ingest: Ingest,
    feed: FeedSettings,
    stand_in: StandIn,
    database: Database,
    take_lease: Callable[[str], Lease],
    server_url: str | None,
) -> None:
    """Like one that was frozen between heartbeat and commit: its row lock blocks every successor."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has one session, and ends an idle transaction by itself")
    lease = take_lease("old")
    paused = database.connect(leases.application_name("test"))
    with paused.cursor() as cursor:
        leases.renew(cursor, lease)
        with ingest(feed, stand_in, database) as ingestion:
            stand_in.wait_until_subscribed("AAPL", timeout_s=60)
            stand_in.send_exactly(5, timeout_s=60)
            await_ticks(ingestion, 5)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    paused.close()


def test_a_metrics_port_in_use_does_not_stop_the_ingestion(
    ingest: Ingest, feed: FeedSettings, stand_in: StandIn, database: Database
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with ingest(feed.model_copy(update={"metrics_port": port}), stand_in, database) as ingestion:
            stand_in.wait_until_subscribed("AAPL", timeout_s=60)
            stand_in.send_exactly(3, timeout_s=60)
            await_ticks(ingestion, 3)
