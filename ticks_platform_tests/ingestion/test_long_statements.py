"""An owner waits for a statement longer than DEAD_AFTER: its lease is kept or lost, every tick is stored once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import JournalFencedError
from ticks_platform.ingestion.lease import DEAD_AFTER, LeaseLostError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.test_trouble import wait_until
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import rows
from ticks_standin import StandIn

pytestmark = pytest.mark.full

_TICKS = "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time"
_LEDGER = "SELECT sum(loaded), sum(duplicate), sum(rejected) FROM ticks_platform.feed_ledger"


@pytest.fixture(autouse=True)
def _native(server_url: str | None) -> None:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has one session: who holds a lock holds up everybody")


def begin(feed: FeedSettings, stand_in: StandIn, database: Database, path: Path, owner: str) -> Ingestion:
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    return Ingestion(feed=feed, connector=connector, database=database, owner=owner, journal_file=path)


@contextmanager
def locked_until_presumed_dead(database: Database, ingestion: Ingestion, stand_in: StandIn) -> Iterator[None]:
    """The block begins when the loader has waited so long for a lock on the table that its owner seems dead."""
    with database.transaction() as cursor:
        cursor.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
        stand_in.send_exactly(500, timeout_s=60)

        def is_presumed_dead() -> bool:
            with database.transaction() as other:
                status = leases.status(other, "test")
            assert status is not None
            return not status.is_alive

        wait_until("no heartbeat for long", is_presumed_dead, DEAD_AFTER + 30)
        trouble = ingestion.progress().trouble or ""
        assert "COPY" in trouble or "stocks_real_time" in trouble, "the statement is said"
        yield


def test_an_owner_that_nobody_replaces_goes_on_after_the_statement(
    feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path
) -> None:
    with begin(feed, stand_in, database, tmp_path / "journal.sqlite3", "first") as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        with locked_until_presumed_dead(database, ingestion, stand_in):
            pass
        wait_until("all ticks are stored", lambda: ingestion.progress().loaded == 500, 60)
        assert ingestion.progress().trouble is None
        assert rows(database, "SELECT epoch, owner FROM ticks_platform.feed_lease") == [(1, "first")]
    assert rows(database, _TICKS) == [(500, 500)]
    assert rows(database, _LEDGER) == [(500, 0, 0)]


def test_an_owner_that_is_replaced_during_the_statement_stores_nothing_more(
    feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path
) -> None:
    """As the supervisor replaces it: its successor ends the backend that waits, and loads the journal."""
    path = tmp_path / "journal.sqlite3"
    with begin(feed, stand_in, database, path, "first") as first:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=20)
        with locked_until_presumed_dead(database, first, stand_in):
            second = begin(feed, stand_in, database, path, "second").__enter__()
            owner = "SELECT owner FROM ticks_platform.feed_lease"
            wait_until("the second owns the feed", lambda: rows(database, owner) == [("second",)], 60)
        try:
            with pytest.raises((LeaseLostError, JournalFencedError)):
                first.wait(60)
            wait_until("all ticks are stored", lambda: rows(database, _TICKS) == [(500, 500)], 60)
            stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=20)
            stand_in.send_exactly(100, timeout_s=30)
            wait_until("what comes later is stored too", lambda: rows(database, _TICKS) == [(600, 600)], 60)
        finally:
            second.stop()
    assert rows(database, _LEDGER) == [(600, 0, 0)]
