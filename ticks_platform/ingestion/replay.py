"""Exports journals, and loads journal files with the code that loads live frames."""

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
from ticks_platform.ingestion import heard_journals
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.handover import returned
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.journal import Journal, JournalError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.paths import create_private
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.failures import first_line

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


class FeedInUseError(RetryableError):
    """The feed is being ingested; a replay would take it over."""


def export(source: Path, target: Path) -> int:
    """Copy a journal while its owner appends; returns the number of frames that wait in the copy.

    Raises JournalError if there is no journal, or the target exists.
    """
    if target.exists():
        raise JournalError(f"{target} exists already; an export does not overwrite files")
    with journal_view(source):
        pass  # raises if it is not a journal, before anything is written
    create_private(target)
    with (
        contextlib.closing(journal_file.connect_read_only(source)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
    with journal_view(target) as exported:
        return exported.waiting_after(0).frames


def replay(file: Path, *, feed: FeedSettings, database: Database) -> Metrics:
    """Load the frames of a journal file as this feed's, and return what became of them.

    The file is not changed. If it is damaged, unreadable groups are skipped and logged. Frames that the database has
    already loaded from this journal are skipped, so a replay can be repeated. Raises JournalError, and FeedInUseError
    if the feed is being ingested.
    """
    metrics, asked = Metrics(), AskedSymbols.of(feed)
    with tempfile.TemporaryDirectory(prefix="ticks-replay-") as folder:
        path = Path(folder) / "journal.sqlite3"
        written_by = _copy_readable_groups(file, path, feed=feed.name)
        with contextlib.closing(Journal(path, feed=feed.name, synthetic=feed.synthetic)) as journal:
            journal.stop_appending()
            with database.transaction() as cursor:
                _check_not_in_use(cursor, feed.name)
                latest = leases.latest_journal(cursor, feed.name)
                lease = leases.take(
                    cursor,
                    feed=feed.name,
                    provider=feed.provider,
                    synthetic=feed.synthetic,
                    candles=feed.candles,
                    owner=f"replay {uuid.uuid4()}",
                    journal_id=journal.journal_id,
                    journal_start=journal.start,
                    journal_frames=journal.frames_trimmed,
                )
                returned.announce(cursor, [(lease, journal)], latest=latest)
            with database.transaction() as cursor:
                error = asked.try_earlier(cursor, feed.name, written_by)
            if error is not None:
                logger.warning(
                    "feed %s: not all symbols that it had earlier can be read, and events of the others are rejected; "
                    "`ticks reload-rejected %s` loads them later: %s",
                    feed.name,
                    feed.name,
                    first_line(error),
                )
            journal.seek(lease.position, frames=lease.frames)
            Loader(
                database=database,
                lease=lease,
                decode=feed.decoder(),
                journal=journal,
                metrics=metrics,
                secondary=not feed.candles,
                asked=asked,
            ).run()
            # Of a damaged file nobody knows the end: its journal stays in the account until it is declared lost.
            with (
                contextlib.suppress(JournalError),
                journal_view(file) as original,
                database.transaction() as cursor,
            ):
                heard_journals.replayed(cursor, original.journal_id, end=original.end, as_feed=feed.name)
    return metrics


def _check_not_in_use(cursor: Cursor, feed: str) -> None:
    held = leases.status(cursor, feed)
    # Its supervisor would take the feed back during the replay.
    if held is not None and held.is_alive:
        raise FeedInUseError(
            f"feed '{feed}' is being ingested by {held.owner} (last heartbeat {max(held.age, 0):.0f} s ago): disable "
            "it first with the job disable_feed, or load the file as another feed of feeds.yaml with --feed NAME"
        )


def _copy_readable_groups(source: Path, target: Path, *, feed: str) -> str:
    """Copy a journal group by group, as the journal of a feed; returns the feed that wrote it.

    If it is another feed's, its new id is derived from both, so that a replay can be repeated.
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
            return str(name)
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{source} cannot be read: {error}") from error


def _groups(original: sqlite3.Connection, source: Path) -> Iterator[tuple[int, int, int, int, bytes]]:
    """The rows of a journal's readable groups."""
    positions, complete = _positions(original, "ASC")
    if not complete:
        # A damaged page ends the scan; groups after it are found by a scan from the other end.
        logger.warning("%s is damaged: some groups of frames cannot be found and are skipped", source)
        from_end, _ = _positions(original, "DESC")
        positions = sorted({*positions, *from_end})
    for position in positions:
        try:
            row = original.execute("SELECT * FROM frame_group WHERE position = ?", (position,)).fetchone()
            journal_file.decode(row[4], position=position, end=row[1])
        except (sqlite3.DatabaseError, journal_file.UnreadableError) as error:
            logger.warning("%s is damaged: skipping the frames at %d: %s", source, position, error)
        else:
            yield row


def _positions(original: sqlite3.Connection, order: str) -> tuple[list[int], bool]:
    """The positions of groups up to the first unreadable page, and whether there was none."""
    positions: list[int] = []
    with contextlib.closing(original.cursor()) as cursor:
        try:
            for (position,) in cursor.execute(f"SELECT position FROM frame_group ORDER BY position {order}"):  # noqa: S608
                positions.append(position)
        except sqlite3.DatabaseError:
            return positions, False
    return positions, True
