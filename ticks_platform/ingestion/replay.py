"""Journals outside of their feed: exported for somebody to look at, and loaded through the same code as live frames."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ticks_platform.errors import RetryableError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.journal import Journal, JournalError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

ALIVE_WITHIN = 30.0
"""Seconds since its heartbeat within which the owner of a feed counts as at work."""


class FeedInUseError(RetryableError):
    """The feed is being ingested: a replay would take it away from its owner."""


def export(source: Path, target: Path) -> int:
    """Copy a journal, as of one moment, while its owner goes on; returns how many frames wait in the copy.

    Raises JournalError when there is no journal, or something is in the way of the copy.
    """
    if target.exists():
        raise JournalError(f"{target} exists already; an export overwrites nothing")
    with journal_view(source):
        pass  # refuses what is not a journal before anything is written
    with (
        contextlib.closing(journal_file.connect_read_only(source)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
    with journal_view(target) as exported:
        return exported.waiting_after(0).frames


def replay(file: Path, *, feed: FeedSettings, database: Database) -> Metrics:
    """Load the frames of a journal file into the database as this feed's, and return what became of them.

    The file itself is not changed, and what cannot be read in a damaged one is left out, which the log tells. What the
    database has loaded out of this journal before is recognised and skipped, so a replay can be repeated. Raises
    JournalError, and FeedInUseError when somebody ingests the feed at the moment.
    """
    metrics = Metrics()
    with tempfile.TemporaryDirectory(prefix="ticks-replay-") as folder:
        path = Path(folder) / "journal.sqlite3"
        _copy_what_can_be_read(file, path, feed=feed.name)
        with contextlib.closing(Journal(path, feed=feed.name, synthetic=feed.synthetic)) as journal:
            journal.stop_appending()
            with database.transaction() as cursor:
                _check_not_in_use(cursor, feed.name)
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


def _check_not_in_use(cursor: Cursor, feed: str) -> None:
    held = leases.status(cursor, feed)
    # Its supervisor would take the feed back at once, in the middle of the replay.
    if held is not None and not held.released and held.age < ALIVE_WITHIN:
        raise FeedInUseError(
            f"feed '{feed}' is being ingested (by {held.owner}, heard of {max(held.age, 0):.0f} s ago): disable it "
            "first with the job disable_feed, or load the file as another feed of feeds.yaml with --feed NAME"
        )


def _copy_what_can_be_read(source: Path, target: Path, *, feed: str) -> None:
    """Copy a journal group by group, as the journal of a feed.

    As another feed's it gets an identity that follows from both, so that a replay can be repeated.
    """
    try:
        with (
            contextlib.closing(journal_file.connect_read_only(source)) as original,
            contextlib.closing(journal_file.connect(target)) as copy,
        ):
            journal_file.check_header(original, source)
            original.execute("BEGIN")
            name, synthetic, journal_id, *rest = original.execute("SELECT * FROM journal").fetchone()
            if name != feed:
                journal_id = str(uuid.uuid5(uuid.UUID(journal_id), feed))
            copy.executescript(sql_files.read("journal/journal.sql"))
            copy.execute(f"PRAGMA application_id = {journal_file.APPLICATION_ID}")
            copy.execute(f"PRAGMA user_version = {journal_file.VERSION}")
            with copy:
                copy.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", (feed, synthetic, journal_id, *rest))
                copy.executemany("INSERT INTO frame_group VALUES (?, ?, ?, ?, ?)", _groups(original, source))
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{source} cannot be read: {error}") from error


def _groups(original: sqlite3.Connection, source: Path) -> Iterator[tuple[int, int, int, int, bytes]]:
    """The rows of a journal's groups, without those that cannot be read."""
    positions, complete = _positions(original, "ASC")
    if not complete:
        # A damaged page ends the way through the file; what stands behind it is reached from the other end.
        logger.warning("%s is damaged: some groups of frames in it cannot be found, and are left out", source)
        behind, _ = _positions(original, "DESC")
        positions = sorted({*positions, *behind})
    for position in positions:
        try:
            row = original.execute("SELECT * FROM frame_group WHERE position = ?", (position,)).fetchone()
            journal_file.decode(row[4], position=position, end=row[1])
        except (sqlite3.DatabaseError, journal_file.UnreadableError) as error:
            logger.warning("%s is damaged: the frames at %d are left out: %s", source, position, error)
        else:
            yield row


def _positions(original: sqlite3.Connection, order: str) -> tuple[list[int], bool]:
    """Where groups stand, up to the first that cannot be reached; and whether that was all of them."""
    positions: list[int] = []
    with contextlib.closing(original.cursor()) as cursor:
        try:
            for (position,) in cursor.execute(f"SELECT position FROM frame_group ORDER BY position {order}"):  # noqa: S608
                positions.append(position)
        except sqlite3.DatabaseError:
            return positions, False
    return positions, True
