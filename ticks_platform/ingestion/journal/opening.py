"""How an owner opens a journal: a new file, one that another owner left, a damaged one, one on a full disk."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from pathlib import Path
from typing import NamedTuple

import ticks_platform
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal import rewrite
from ticks_platform.ingestion.journal.file import JournalError, JournalUnavailableError
from ticks_platform.ingestion.journal.space import Reserve
from ticks_platform.timescale import sql_files

logger = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A journal as its new owner finds it."""

    journal_id: str
    frames_trimmed: int
    """Frames that were committed and deleted."""
    generation: int
    """This owner's number."""
    trimmed: int
    """Everything before this position is committed and deleted."""
    end: int
    """The position after the last frame."""
    frames: int
    """Frames before that."""


def open_file(path: Path, *, feed: str, synthetic: bool, reserve: Reserve) -> tuple[sqlite3.Connection, Opened]:
    """Open a journal for writing, or create it; call it under `open_lock`.

    A damaged file is set aside. On a full disk, the space that is reserved for this is used. Raises JournalError and
    JournalUnavailableError.
    """
    try:
        try:
            rewrite.finish(path)
            return _open(path, feed, synthetic)
        except (OSError, sqlite3.OperationalError):
            # Even a file that is only read needs space for SQLite's index of the log.
            reserve.release()
            rewrite.finish(path)
            return _open(path, feed, synthetic)
    except (OSError, sqlite3.OperationalError) as error:
        raise JournalUnavailableError(f"the journal of feed '{feed}' ({path}) cannot be opened now: {error}") from error
    except sqlite3.DatabaseError as error:
        logger.error(  # noqa: TRY400  (the message is complete)
            "%s. Creating a new one", journal_file.describe_damage(feed, error, journal_file.set_aside(path))
        )
        return _open(path, feed, synthetic)


def _open(path: Path, feed: str, synthetic: bool) -> tuple[sqlite3.Connection, Opened]:
    connection = journal_file.connect(path)
    try:
        return connection, _take_ownership(connection, path, feed, synthetic)
    except BaseException:
        connection.close()
        raise


def _take_ownership(connection: sqlite3.Connection, path: Path, feed: str, synthetic: bool) -> Opened:
    journal_file.check_header(connection, path)
    connection.executescript(sql_files.read("journal/journal.sql"))
    # Each of these would be a write, and the disk may be full.
    for name, value in (("application_id", journal_file.APPLICATION_ID), ("user_version", journal_file.VERSION)):
        if connection.execute(f"PRAGMA {name}").fetchone()[0] != value:
            connection.execute(f"PRAGMA {name} = {value}")
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        row = connection.execute("SELECT * FROM journal").fetchone()
        if row is None:
            row = (feed, synthetic, str(uuid.uuid4()), 0, 0, 0)
            connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.execute(sql_files.read("journal/created_by.sql"))
            connection.execute("INSERT INTO created_by VALUES (?)", (ticks_platform.__version__,))
        owner, was_synthetic, journal_id, generation, trimmed, frames_trimmed = row
        if owner != feed:
            raise JournalError(
                f"{path} is the journal of feed '{owner}', not of '{feed}': move it away, or give the feed "
                "its old name back"
            )
        if bool(was_synthetic) is not synthetic:
            kinds = ("live", "the stand-in's")
            raise JournalError(
                f"{path} holds frames that are {kinds[bool(was_synthetic)]}, but feed '{feed}' is now "
                f"{kinds[synthetic]}: remove the journal, or give the feed another name"
            )
        # Below zero if a process ended while it replaced the file.
        generation = abs(generation) + 1
        connection.execute("UPDATE journal SET generation = ?", (generation,))
        end, frames = journal_file.end_of(connection)
    return Opened(journal_id, frames_trimmed, generation, trimmed, end, frames)
