"""What an ingestion does while its disk, its journal or its database is in trouble."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit, loader, switch
from ticks_platform.ingestion.journal.journal import Journal, JournalDamagedError, JournalUnavailableError
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.replay import replay
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, damage_group, price, rows
from ticks_standin import StandIn

Begin = Callable[[], Ingestion]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stream.sqlite3"


@pytest.fixture
def begin(feed: FeedSettings, stand_in: StandIn, database: Database, path: Path) -> Begin:
    """Makes an ingestion of the feed, which is not yet running."""

    def make() -> Ingestion:
        connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        return Ingestion(feed=feed, connector=connector, database=database, owner="test", journal_file=path)

    return make


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def limit_pages(ingestion: Ingestion, pages: int) -> None:
    """A limit on the size of the journal, at which SQLite says what it says of a full disk."""
    assert ingestion._journal is not None
    # SQLite takes what the file has already for the limit, where that is more.
    ingestion._journal._writer.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_stops_the_reading_and_loses_nothing_once_there_is_room(
    begin: Begin, stand_in: StandIn, database: Database
) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        limit_pages(ingestion, 1)
        sender = threading.Thread(target=lambda: stand_in.send_exactly(20_000, timeout_s=60))
        sender.start()
        wait_until("it says so", lambda: "full" in (ingestion.progress().trouble or ""))
        trouble = ingestion.progress().trouble
        assert trouble is not None
        assert "free space" in trouble
        assert "stream.sqlite3" in trouble
        assert not ingestion.wait(0.5), "it waits"
        limit_pages(ingestion, 1 << 30)
        sender.join(60)
        wait_until("all are there", lambda: ingestion.progress().loaded == 20_000)
        assert ingestion.progress().trouble is None
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(20_000, 20_000)]


def test_a_stop_while_the_disk_is_full_says_what_is_lost(
    begin: Begin, stand_in: StandIn, database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        wait_until("the acknowledgement is stored", lambda: ingestion.progress().frames)
        limit_pages(ingestion, 1)
        stand_in.send_exactly(5_000, timeout_s=30)
        wait_until("it is noticed", lambda: ingestion.progress().trouble)
    with pytest.raises(JournalUnavailableError, match="received frames are lost"):
        ingestion.wait(10)
    assert "are lost" in caplog.text
    lost = rows(database, "SELECT detail FROM ticks_platform.feed_session WHERE detail LIKE '%are lost%'")
    frames = sum(int(detail.partition(" ")[0]) for (detail,) in lost)
    assert frames > 0
    assert ingestion.progress().loaded + frames == 5_000
    with database.autocommit() as cursor:
        account = audit.journal_account(cursor, "test", path)
    assert account is not None
    assert account.problems() == [], "the journal and the database agree about the rest"


def test_a_damaged_journal_ends_the_run_and_the_next_one_begins_another(
    begin: Begin, stand_in: StandIn, database: Database, path: Path, feed: FeedSettings
) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        stand_in.send_exactly(10, timeout_s=10)
        wait_until("ticks", lambda: ingestion.progress().loaded == 10)
    journal_id = fill(path, feed)
    damage_group(path, 2)
    with begin() as ingestion, pytest.raises(JournalDamagedError, match="replay"):
        ingestion.wait(20)
    (aside,) = path.parent.glob("stream.damaged-*.sqlite3")
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(12,)], "what stood before the damage is loaded"
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        assert ingestion._journal is not None
        assert ingestion._journal.journal_id != journal_id
        sent = stand_in.account().price_events
        stand_in.send_exactly(5, timeout_s=10)
        wait_until("ticks go on", lambda: ingestion.progress().loaded == 5)
        assert stand_in.account().price_events == sent + 5
    assert replay(aside, feed=feed, database=database).loaded == 1, "one of the two behind the damage is readable"
    positions = rows(database, "SELECT position FROM ticks_platform.feed_checkpoint ORDER BY journal_number")
    assert positions[1] > positions[0], "ticks of one time stamp sort by arrival, in whichever journal they came"


def fill(path: Path, feed: FeedSettings) -> str:
    """Put four frames into the journal that are not loaded yet; its id."""
    journal = Journal(path, feed=feed.name, synthetic=True)
    for _ in range(4):
        journal.append([Frame(price(), time.time_ns(), 1)], epoch=1)
    journal.close()
    return journal.journal_id


@pytest.fixture
def refusing(database: Database) -> Iterator[None]:
    """A database that takes everything but ticks."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
    yield
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")


@pytest.fixture
def running(
    take_lease: TakeLease, make_loader: LoaderOf, refusing: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[loader.Loader, list[BaseException]]]:
    """A loader that tries in vain to commit, and what it has died of."""
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)
    loading = make_loader(take_lease("one"), [price()])
    failures: list[BaseException] = []

    def run() -> None:
        try:
            loading.run()
        except BaseException as error:  # noqa: BLE001  (looked at by the tests)
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until("it is in trouble", lambda: loading.trouble)
    yield loading, failures
    loading.abandon()
    thread.join(20)
    assert not thread.is_alive()


def test_the_lease_beats_while_the_database_refuses_the_ticks(
    database: Database, running: tuple[loader.Loader, list[BaseException]]
) -> None:
    def beat() -> Any:
        return rows(database, "SELECT heartbeat_at FROM ticks_platform.feed_lease")[0][0]

    for _ in range(2):
        before = beat()
        wait_until("it beats", lambda before=before: beat() > before)  # type: ignore[misc]
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
    wait_until("it hears that the feed is switched off", lambda: not running[0].enabled)
    assert running[0].trouble is not None


def test_a_lease_that_is_lost_while_the_database_refuses_the_ticks_ends_the_loader(
    take_lease: TakeLease, running: tuple[loader.Loader, list[BaseException]]
) -> None:
    take_lease("two")
    wait_until("it ends", lambda: running[1])
    assert isinstance(running[1][0], LeaseLostError)


def test_provider_latency_of_one_tick_is_counted_once(take_lease: TakeLease, make_loader: LoaderOf) -> None:
    for number, (frames, counted) in enumerate([([price()], 1), ([price()] * 5, 2)]):
        loading = make_loader(take_lease(str(number)), frames)
        loading.run()
        assert loading.metrics.provider_latency.counts.sum() == counted
        assert loading.metrics.commit_latency.counts.sum() == len(frames)


def test_what_is_no_damage_is_not_taken_for_any(path: Path) -> None:
    journal = Journal(path, feed="test")
    journal._reader.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal.seek(0, frames=0)
    journal._reader = sqlite3.connect(path)
    journal.close()
    assert path.exists()
