"""A stop while the journal is full: it keeps its limit, and what has arrived is loaded, waits in it, or is said."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings, JournalSettings
from ticks_platform.ingestion import run
from ticks_platform.ingestion.journal.journal import JournalUnavailableError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.test_trouble import wait_until
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import rows
from ticks_standin import StandIn, StandInError

MEGABYTE = 1 << 20

_GAPS_AT = """
SELECT count(*)
FROM ticks_platform.feed_gap
WHERE begins_at < to_timestamp({0}) AND ends_at > to_timestamp({0})
"""

pytestmark = pytest.mark.full

Begin = Callable[[], Ingestion]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def begin(feed: FeedSettings, stand_in: StandIn, database: Database, folder: Path) -> Begin:
    """Creates an ingestion of the feed with a journal of 1 MB, not started yet."""
    small = feed.model_copy(update={"journal": JournalSettings(max_megabytes=1)})

    def make() -> Ingestion:
        connector = small.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        return Ingestion(
            feed=small, connector=connector, database=database, owner="test", journal_file=folder / "test.sqlite3"
        )

    return make


def rename(database: Database, old: str, new: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def send_until_full(ingestion: Ingestion, stand_in: StandIn) -> threading.Thread:
    """Send more than the journal has room for, and wait until it says so."""

    def send() -> None:
        with contextlib.suppress(StandInError):  # a stop ends it
            stand_in.send_exactly(20_000, timeout_s=60)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until("the journal is full", lambda: "max_megabytes" in (ingestion.progress().trouble or ""))
    return sender


def test_what_has_no_room_at_a_stop_is_said_and_lies_in_a_gap(
    begin: Begin, stand_in: StandIn, database: Database, folder: Path
) -> None:
    """The database takes nothing, so the journal stays full."""
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        rename(database, "stocks_real_time", "away")
        sender = send_until_full(ingestion, stand_in)
        stopped = time.time()
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MEGABYTE
    with pytest.raises(JournalUnavailableError, match=r"received frames are lost, and lie in a gap.* is full"):
        ingestion.wait(60)
    rename(database, "away", "stocks_real_time")
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        sender.join()
        stand_in.send_exactly(10, timeout_s=60)
        wait_until("the gaps", lambda: rows(database, _GAPS_AT.format(stopped)) == [(2,)])
    ((detail,),) = rows(database, "SELECT detail FROM ticks_platform.feed_session WHERE detail LIKE '%are lost%'")
    assert int(detail.partition(" ")[0]) > 0
    assert "its files in" in detail


def test_nothing_is_lost_at_a_stop_while_the_database_takes_it(
    begin: Begin, stand_in: StandIn, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("STOP_TIMEOUT", "ROOM_TIMEOUT"):
        monkeypatch.setattr(run, bound, 60.0)  # a busy machine must not decide
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        rename(database, "stocks_real_time", "away")
        sender = send_until_full(ingestion, stand_in)
        rename(database, "away", "stocks_real_time")
    sender.join()
    assert ingestion.wait(0)
    sent = stand_in.account().price_events
    assert ingestion.progress().loaded == sent
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(sent, sent)]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MEGABYTE


def test_a_stop_ends_within_ten_seconds_while_a_statement_waits(
    begin: Begin, stand_in: StandIn, database: Database, folder: Path, server_url: str | None
) -> None:
    """The longest stop there is: the journal is full, and nobody can tell yet that the database is more than slow."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has one session: who holds a lock holds up everybody")
    with begin() as ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        with database.transaction() as cursor:
            cursor.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
            sender = send_until_full(ingestion, stand_in)
            began = time.monotonic()
            ingestion.stop()
            took, stopped = time.monotonic() - began, time.time()
    sender.join()
    assert took < 10
    with contextlib.suppress(JournalUnavailableError):
        ingestion.wait(60)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MEGABYTE
    with begin() as again:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=10)
        stand_in.send_exactly(10, timeout_s=10)
        wait_until("the gaps", lambda: rows(database, _GAPS_AT.format(stopped)) == [(2,)])
    ((stored, different),) = rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time")
    assert stored == different == ingestion.progress().loaded + again.progress().loaded
    ((detail,),) = rows(database, "SELECT detail FROM ticks_platform.feed_session WHERE detail LIKE '%are lost%'")
    # More may be unread in the socket.
    assert stored - 10 + int(detail.partition(" ")[0]) <= stand_in.account().price_events
