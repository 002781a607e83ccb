"""An ingestion during errors of its disk, its journal or its database."""

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
from ticks_platform.ingestion.journal.file import connect
from ticks_platform.ingestion.journal.journal import Journal, JournalDamagedError, JournalUnavailableError
from ticks_platform.ingestion.journal.reader import Reader
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
    """Creates an ingestion of the feed, not started yet."""

    def make() -> Ingestion:
        connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        return Ingestion(feed=feed, connector=connector, database=database, owner="test", journal_file=path)

    return make


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def limit_pages(ingestion: Ingestion, pages: int) -> None:
    """Limit the size of the journal; at the limit, SQLite raises the error of a full disk."""
    assert ingestion._journal is not None
    # If the file is larger already, SQLite uses its size as the limit.
    ingestion._journal._writer.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_pauses_reading_and_loses_nothing(begin: Begin, stand_in: StandIn, database: Database) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        limit_pages(ingestion, 1)
        sender = threading.Thread(target=lambda: stand_in.send_exactly(20_000, timeout_s=60))
        sender.start()
        wait_until("the trouble is reported", lambda: "full" in (ingestion.progress().trouble or ""))
        trouble = ingestion.progress().trouble
        assert trouble is not None
        assert "free space" in trouble
        assert "stream.sqlite3" in trouble
        assert not ingestion.wait(0.5), "it waits"
        limit_pages(ingestion, 1 << 30)
        sender.join(60)
        wait_until("all ticks are stored", lambda: ingestion.progress().loaded == 20_000)
        assert ingestion.progress().trouble is None
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(20_000, 20_000)]


def test_a_stop_while_the_disk_is_full_reports_lost_frames(
    begin: Begin, stand_in: StandIn, database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        wait_until("the acknowledgement is stored", lambda: ingestion.progress().frames)
        limit_pages(ingestion, 1)
        stand_in.send_exactly(5_000, timeout_s=60)
        wait_until("the trouble is reported", lambda: ingestion.progress().trouble)
    with pytest.raises(JournalUnavailableError, match="received frames are lost"):
        ingestion.wait(60)
    assert "are lost" in caplog.text
    lost = rows(database, "SELECT detail FROM ticks_platform.feed_session WHERE detail LIKE '%are lost%'")
    frames = sum(int(detail.partition(" ")[0]) for (detail,) in lost)
    assert frames > 0
    assert ingestion.progress().loaded + frames == 5_000
    with database.autocommit() as cursor:
        account = audit.journal_account(cursor, "test", path)
    assert account is not None
    assert account.problems() == [], "the journal and the database agree on the other frames"


def test_a_damaged_journal_ends_the_run_and_the_next_run_creates_another(
    begin: Begin, stand_in: StandIn, database: Database, path: Path, feed: FeedSettings
) -> None:
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        stand_in.send_exactly(10, timeout_s=60)
        wait_until("ticks", lambda: ingestion.progress().loaded == 10)
    journal_id = fill(path, feed)
    damage_group(path, 2)
    with begin() as ingestion, pytest.raises(JournalDamagedError, match="replay"):
        ingestion.wait(60)
    (aside,) = path.parent.glob("stream.damaged-*.sqlite3")
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(12,)], "the frames before the damage are loaded"
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        assert ingestion._journal is not None
        assert ingestion._journal.journal_id != journal_id
        sent = stand_in.account().price_events
        stand_in.send_exactly(5, timeout_s=60)
        wait_until("more ticks are stored", lambda: ingestion.progress().loaded == 5)
        assert stand_in.account().price_events == sent + 5
    assert replay(aside, feed=feed, database=database).loaded == 1, "one of the two frames after the damage is readable"
    positions = rows(database, "SELECT position FROM ticks_platform.feed_checkpoint ORDER BY journal_number")
    assert positions[1] > positions[0], "ticks of the same time sort by arrival, across journals"


def fill(path: Path, feed: FeedSettings) -> str:
    """Append four frames, which are not loaded, and return the journal's id."""
    journal = Journal(path, feed=feed.name, synthetic=True)
    for _ in range(4):
        journal.append([Frame(price(), time.time_ns(), 1)], epoch=1)
    journal.close()
    return journal.journal_id


@pytest.fixture
def refusing(database: Database) -> Iterator[None]:
    """A database that accepts everything but ticks."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
    yield
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")


@pytest.fixture
def running(
    take_lease: TakeLease, make_loader: LoaderOf, refusing: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[loader.Loader, list[BaseException]]]:
    """A loader whose commits fail, and the list of errors that ended it."""
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
    wait_until("the commit fails", lambda: loading.trouble)
    yield loading, failures
    loading.abandon()
    thread.join(60)
    assert not thread.is_alive()


def test_heartbeats_continue_while_the_database_refuses_ticks(
    database: Database, running: tuple[loader.Loader, list[BaseException]]
) -> None:
    def beat() -> Any:
        return rows(database, "SELECT heartbeat_at FROM ticks_platform.feed_lease")[0][0]

    for _ in range(2):
        before = beat()
        wait_until("it beats", lambda before=before: beat() > before)  # type: ignore[misc]
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
    wait_until("it sees that the feed is disabled", lambda: not running[0].renewed.enabled)
    assert running[0].trouble is not None


def test_coverage_that_is_refused_holds_up_no_ticks(begin: Begin, stand_in: StandIn, database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE ticks_platform.feed_coverage RENAME TO elsewhere")
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        stand_in.send_exactly(10, timeout_s=60)
        wait_until("ticks", lambda: ingestion.progress().loaded == 10)
        wait_until("the trouble is reported", lambda: "coverage" in (ingestion.progress().trouble or ""))
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE ticks_platform.elsewhere RENAME TO feed_coverage")
        wait_until("the coverage is stored", lambda: ingestion.progress().trouble is None)
        assert rows(database, "SELECT symbol FROM ticks_platform.feed_coverage ORDER BY 1") == [("AAPL",), ("BTC/USD",)]


def test_losing_the_lease_while_the_database_refuses_ticks_ends_the_loader(
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


def test_other_errors_do_not_count_as_damage(path: Path) -> None:
    journal = Journal(path, feed="test")
    journal._reader._connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal.seek(0, frames=0)
    journal._reader = Reader(connect(path))
    journal.close()
    assert path.exists()
