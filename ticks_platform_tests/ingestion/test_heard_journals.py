"""Journals of machines that are gone: what waits in them is in the account until it is loaded or declared lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit, heard_journals
from ticks_platform.ingestion.handover.takeover import Takeover
from ticks_platform.ingestion.heard_journals import Elsewhere, UnknownJournalError
from ticks_platform.ingestion.journal.journal_pair import JournalPair
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.replay import replay
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.ingestion import price, rows
from ticks_standin import StandIn


def frames(number: int, *, day: int = 0) -> list[Frame]:
    """Prices that differ, of some hours ago."""
    begin = int(time.time()) - 7200 - day * 86_400
    return [
        Frame(price(timestamp=begin + each, price=float(each)), (begin + each) * 10**9, 1) for each in range(number)
    ]


def own(
    feed: FeedSettings, database: Database, machine: Path, *, receives: int = 0, leaves: int = 0, ends: bool = True
) -> None:
    """Own the feed on a machine, which loads what it receives, then tells of what waits; it may not come to its end."""
    journals = JournalPair(machine / "test.sqlite3", feed)
    takeover = Takeover(feed=feed, owner=machine.name, database=database, journals=journals, stopping=threading.Event())
    lease, journal, before = takeover.take()
    journal.append(frames(receives), epoch=lease.epoch)
    journal.stop_appending()
    decode = feed.decoder()
    Loader(database=database, lease=lease, decode=decode, journal=journal, before=before, metrics=Metrics()).run()
    journal.append(frames(leaves, day=1), epoch=lease.epoch)
    with database.transaction() as cursor:
        heard_journals.tell(cursor, journal, is_open=not ends)
    journals.close()


def elsewhere(database: Database, here: Path) -> list[Elsewhere]:
    """What a check on that machine finds."""
    with database.autocommit() as cursor:
        return heard_journals.elsewhere(cursor, audit.journal_ids(here))


@pytest.fixture
def machines(feed: FeedSettings, database: Database, tmp_path: Path) -> tuple[Path, Path]:
    """One on which 30 frames wait, and another one, which owns the feed since."""
    one, other = tmp_path / "one", tmp_path / "other"
    own(feed, database, one, receives=10, leaves=30)
    own(feed, database, other, receives=5)
    return one, other


def test_what_waits_on_another_machine_is_named(database: Database, machines: tuple[Path, Path]) -> None:
    one, other = machines
    assert elsewhere(database, one) == []
    (found,) = elsewhere(database, other)
    assert (found.feed, found.file, found.frames) == ("test", str(one / "test.sqlite3"), 30)
    assert found.bytes > 30 * 50
    problem = found.problem() or ""
    assert problem.startswith(f"30 frames ({found.bytes:,} bytes) wait in {one / 'test.sqlite3'} on {found.host}")
    assert f"`ticks declare lost {found.journal_id}" in problem


def test_a_machine_that_returns_empties_its_journal(
    feed: FeedSettings, database: Database, machines: tuple[Path, Path]
) -> None:
    one, other = machines
    own(feed, database, one)
    assert elsewhere(database, other) == []


@pytest.mark.full
@pytest.mark.parametrize("as_another", [False, True])
def test_a_journal_that_is_replayed_elsewhere_is_no_longer_named(
    feed: FeedSettings, database: Database, machines: tuple[Path, Path], as_another: bool
) -> None:
    one, other = machines
    replay(
        one / "test.sqlite3",
        feed=feed.model_copy(update={"name": "again"}) if as_another else feed,
        database=database,
    )
    assert elsewhere(database, other) == []


def test_a_journal_that_is_declared_lost_counts_again_once_it_is_heard_of(
    feed: FeedSettings, database: Database, machines: tuple[Path, Path]
) -> None:
    one, other = machines
    (found,) = elsewhere(database, other)
    with database.transaction() as cursor:
        assert heard_journals.find(cursor, found.journal_id) == found
        heard_journals.declare_lost(cursor, found.journal_id, declared_by="a test", reason="burnt")
    assert elsewhere(database, other) == []
    with database.transaction() as cursor, pytest.raises(UnknownJournalError, match=found.journal_id):
        heard_journals.find(cursor, found.journal_id)
    own(feed, database, one, leaves=7)
    own(feed, database, other)
    assert [each.frames for each in elsewhere(database, other)] == [7]


def test_a_run_that_did_not_end_may_have_left_frames(feed: FeedSettings, database: Database, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    own(feed, database, one, receives=10, ends=False)
    own(feed, database, other)
    (found,) = elsewhere(database, other)
    assert (found.frames, found.is_open, found.is_owned) == (0, True, False)
    assert (found.problem() or "").startswith("frames may wait in ")


def test_the_owner_tells_of_its_journal(
    feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path
) -> None:
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    path = tmp_path / "one" / "test.sqlite3"

    def heard() -> list[tuple[bool, bool]]:
        query = "SELECT is_open, heard_frames >= 20 FROM ticks_platform.feed_checkpoint WHERE file IS NOT NULL"
        return rows(database, query)

    with Ingestion(feed=feed, connector=connector, database=database, owner="one", journal_file=path):
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        stand_in.send_exactly(20, timeout_s=60)
        wait_until(lambda: heard() == [(True, True)], "the journal is heard of")
        (found,) = elsewhere(database, tmp_path / "other")
        assert (found.is_owned, found.problem()) == (True, None)
    assert heard() == [(False, True)]
    assert elsewhere(database, tmp_path / "other") == []
