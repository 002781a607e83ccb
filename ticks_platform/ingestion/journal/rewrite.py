"""Replaces a journal's file by a new one that has only the frames that wait.

SQLite cannot give space back while somebody reads a file, and on a full disk it needs space to delete. A new file needs
only what the waiting frames take, and the old one is unlinked. A reader keeps what it has opened, and the disk keeps it
for the reader; only where the disk is full, it is cut off (`Replaced.cut`), and the reader's next look fails.

A crash at any moment leaves the old journal or the new one: the new file is complete before it gets a name that counts
(`-ready`), and whoever opens the journal next finishes what that name has begun. Everything is done under `open_lock`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ticks_platform.paths import create_private
from ticks_platform.timescale import sql_files


class Replaced:
    """The files that a rewrite has replaced, which others may still have open."""

    def __init__(self, path: Path) -> None:
        """Open them, before they are replaced."""
        self._files = [os.open(file, os.O_RDWR) for file in (path, _log(path)) if file.exists()]

    def cut(self) -> None:
        """Free the space that they take. Whoever reads them gets an error."""
        for file in self._files:
            os.ftruncate(file, 0)

    def close(self) -> None:
        """Leave the rest to those who have them open."""
        for file in self._files:
            os.close(file)


def rewrite(writer: sqlite3.Connection, path: Path, *, position: int) -> Replaced:
    """Replace the file by one with the frames from this position on, and what else it has.

    `writer` is the owner's connection, which must not be used afterwards. Raises OSError and sqlite3.Error; then the
    old file is still there.
    """
    new = _new(path)
    try:
        # Nobody else writes while the rows are copied.
        writer.execute("BEGIN IMMEDIATE")
        with writer:
            _copy(path, new, position=position)
            # Below zero, the file was replaced: whoever has opened it for writing must write to the new one.
            writer.execute("UPDATE journal SET generation = -generation")
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    replaced = Replaced(path)
    new.rename(_ready(path))
    finish(path)
    return replaced


def finish(path: Path) -> None:
    """Finish or undo what a process that ended has begun."""
    with contextlib.suppress(FileNotFoundError):
        _new(path).unlink()
    ready = _ready(path)
    if not ready.exists():
        return
    _sync_folder(path)
    # The log belongs to the old file: SQLite would apply it to the new one.
    for old in (_log(path), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    ready.rename(path)
    _sync_folder(path)


def _copy(path: Path, new: Path, *, position: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    create_private(new)
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as copy:
        # Nothing to roll back to: the file is removed if this fails.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = FULL")
        copy.executescript(sql_files.read("journal/journal.sql"))
        copy.execute("ATTACH ? AS old", (str(path),))
        for name in ("application_id", "user_version"):
            (value,) = copy.execute(f"PRAGMA old.{name}").fetchone()
            copy.execute(f"PRAGMA main.{name} = {value}")
        copy.execute("BEGIN")
        copy.execute(sql_files.read("queries/journal/copy_state.sql"), {"position": position})
        copy.execute("INSERT INTO main.frame_group SELECT * FROM old.frame_group WHERE position >= ?", (position,))
        copy.execute("INSERT INTO main.coverage_note SELECT * FROM old.coverage_note")
        # A number is never given twice, also where no note is left.
        copy.execute("DELETE FROM main.sqlite_sequence")
        copy.execute("INSERT INTO main.sqlite_sequence SELECT name, seq FROM old.sqlite_sequence")
        if copy.execute("SELECT count(*) FROM old.sqlite_schema WHERE name = 'created_by'").fetchone()[0]:
            copy.execute(sql_files.read("journal/created_by.sql"))
            copy.execute("INSERT INTO main.created_by SELECT * FROM old.created_by")
        copy.execute("COMMIT")
    descriptor = os.open(new, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _new(path: Path) -> Path:
    return path.with_name(path.name + "-new")


def _ready(path: Path) -> Path:
    return path.with_name(path.name + "-ready")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
