"""Journals outside of their feed: exported for somebody to look at, and loaded through the same code as live frames."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import uuid
from pathlib import Path

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal import Journal, JournalError, snapshot
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.timescale.database import Database


def export(source: Path, target: Path) -> int:
    """Copy a journal, as of one moment, while its owner goes on; returns how many frames wait in the copy.

    Raises JournalError when there is no journal, or something is in the way of the copy.
    """
    if target.exists():
        raise JournalError(f"{target} exists already; an export overwrites nothing")
    _copy(source, target)
    with snapshot(target) as copy:
        return copy.beyond(0).frames


def replay(file: Path, *, feed: FeedSettings, database: Database) -> Metrics:
    """Load the frames of a journal file into the database as this feed's, and return what became of them.

    The file itself is not changed. What the database has loaded out of this journal before is recognised and skipped,
    so a replay can be repeated. Whoever ingests the feed at the moment is superseded. Raises JournalError.
    """
    metrics = Metrics()
    with tempfile.TemporaryDirectory(prefix="ticks-replay-") as folder:
        path = Path(folder) / "journal.sqlite3"
        _copy(file, path)
        _rename(path, feed.name)
        with contextlib.closing(Journal(path, feed=feed.name, synthetic=feed.synthetic)) as journal:
            journal.stop_appending()
            with database.transaction() as cursor:
                lease = leases.take(
                    cursor,
                    feed=feed.name,
                    provider=feed.provider,
                    synthetic=feed.synthetic,
                    owner=f"replay {uuid.uuid4()}",
                    journal_id=journal.journal_id,
                    journal_start=journal.start,
                    journal_frames=journal.frames_trimmed,
                )
            journal.seek(lease.position, frames=lease.frames)
            Loader(database=database, lease=lease, decode=feed.decoder(), journal=journal, metrics=metrics).run()
    return metrics


def _copy(source: Path, target: Path) -> None:
    with snapshot(source):
        pass  # refuses what is not a journal before anything is written
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)


def _rename(path: Path, feed: str) -> None:
    """Make a copy another feed's journal, with an identity that follows from both, so that a replay can be repeated."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        name, journal_id = connection.execute("SELECT feed, journal_id FROM journal").fetchone()
        if name != feed:
            identity = str(uuid.uuid5(uuid.UUID(journal_id), feed))
            connection.execute("UPDATE journal SET feed = ?, journal_id = ?", (feed, identity))
