"""Numbers of journals: none is used up by a transaction that fails, and a recycled one never makes the same tick_id."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg2
import pytest

from ticks_platform.ingestion import lease as leases
from ticks_platform.timescale.database import Database


def checkpoint(database: Database, feed: str = "test", *, start: int | None = None, fails: bool = False) -> int:
    """A new journal's number."""
    with database.transaction() as cursor:
        leases.register_feed(cursor, feed=feed, provider="twelve_data", synthetic=True, candles=True)
        number, _, _ = leases.find_checkpoint(
            cursor, feed, journal_id=str(uuid.uuid4()), journal_start=start, journal_frames=0
        )
        if fails:
            cursor.connection.rollback()
    return number


def test_a_feed_in_a_crash_loop_uses_up_no_numbers(database: Database) -> None:
    assert {checkpoint(database, fails=True) for _ in range(5)} == {1}
    assert [checkpoint(database), checkpoint(database, "other"), checkpoint(database)] == [1, 2, 3]


def test_feeds_that_start_together_wait_for_each_others_number(database: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        with database.transaction() as cursor:
            leases.register_feed(cursor, feed="first", provider="twelve_data", synthetic=True, candles=True)
            first = leases.find_checkpoint(
                cursor, "first", journal_id=str(uuid.uuid4()), journal_start=None, journal_frames=0
            )
            others = [pool.submit(checkpoint, database, feed) for feed in ("second", "third")]
            wait(others, timeout=0.2)
        assert sorted([first[0], *(other.result(20) for other in others)]) == [1, 2, 3]


@pytest.mark.full
def test_numbers_are_recycled_when_all_are_given(database: Database) -> None:
    first = checkpoint(database)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_checkpoint SET position = 5000, frames = 70, frames_before = 3, "
            "committed_at = now() - INTERVAL '2 months'"
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_checkpoint "
            "(journal_number, feed, journal_id, position, frames, frames_before, committed_at) "
            "OVERRIDING SYSTEM VALUE SELECT number, 'test', gen_random_uuid(), 10, 0, 0, now() "
            "FROM generate_series(2, 65535) AS number WHERE number <> 777"
        )
    assert checkpoint(database, "other") == 777, "one that was never given comes first"
    journal_id = str(uuid.uuid4())
    with database.transaction() as cursor:
        found = leases.find_checkpoint(cursor, "test", journal_id=journal_id, journal_start=None, journal_frames=0)
        assert found == (first, 5000, 0), "it begins after all positions of the journal that had the number"
        assert (
            leases.find_checkpoint(cursor, "test", journal_id=journal_id, journal_start=None, journal_frames=0) == found
        )
        cursor.execute("SELECT sum(frames)::int FROM ticks_platform.feed_checkpoint WHERE feed = 'test'")
        assert cursor.fetchone() == (70,), "the account keeps the frames"
    with pytest.raises(leases.NoJournalNumberError, match="65,535"):
        checkpoint(database, "other")
    with pytest.raises(psycopg2.Error), database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.feed_checkpoint (journal_number) OVERRIDING SYSTEM VALUE VALUES (0)")
