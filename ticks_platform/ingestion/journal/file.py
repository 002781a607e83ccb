"""The journal as a SQLite file: its header and encoding, how it is opened and set aside, and its errors."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shlex
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

import ticks_platform
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport.arrivals import Arrivals
from ticks_platform.paths import create_private
from ticks_platform.timescale import sql_files

APPLICATION_ID = 0x7469636B
"""Marks a SQLite file as a journal: "tick"."""

VERSION = 1
"""Version of the file's layout, in SQLite's user_version."""


logger = logging.getLogger(__name__)

_LOCK_PATIENCE = 5.0
"""Seconds that a reader waits for a process that opens or replaces the file."""


class JournalError(ActionRequiredError):
    """The journal cannot be used; the message says why, and what to do."""


class JournalDamagedError(RetryableError):
    """The journal was found damaged while in use, and is set aside; the message says where.

    Not a JournalError: the feed's next run creates a new journal, without anybody's help.
    """


class JournalUnavailableError(RetryableError):
    """The journal cannot be written or read now: it is locked, or the disk is full. Its frames are still in it."""


class JournalFullError(JournalUnavailableError):
    """At a stop, the journal's files have no room for frames that have arrived; the message says what takes it."""


class JournalFencedError(RetryableError):
    """Another process has opened this journal for writing; this one must no longer append."""


class UnreadableError(Exception):
    """A group of frames is not what was written; `Journal` raises a JournalDamagedError instead."""


class Contents(msgspec.Struct, array_like=True):
    """The frames of a group, with their epoch and connection."""

    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]
    # Journals of older releases do not have these.
    stepped: int | None = None
    correction: int = 0
    covered_until: int | None = None
    again: list[int] = []


def contents_of(frames: Sequence[Frame], *, epoch: int) -> Contents:
    """The contents of a group of frames that arrived together on one connection."""
    of = Arrivals.of(frames)
    return Contents(epoch, of.connection, of.received_at, of.data, of.stepped, of.correction, of.covered_until)


class FrameGroup(NamedTuple):
    """Frames of one connection that were appended together, in order."""

    position: int
    end: int
    epoch: int
    connection: int
    received_at: list[int]
    """By the wall clock of this machine, in nanoseconds since the Unix epoch."""
    frames: list[bytes]
    stepped: int | None = None
    """Nanoseconds by which that clock was set since its process began; None if an older release did not tell."""
    correction: int = 0
    """Nanoseconds to add to it, since it is wrong: as known when it was appended, after decoding as it is."""
    covered_until: int | None = None
    """As `Frame.covered_until`; None if an older release did not tell."""
    again: Sequence[int] = ()
    """Places of frames that came on their connection before, byte for byte (`recent_frames`)."""
    learned: int = 0
    """Nanoseconds of `correction` that were not known when the group was appended."""

    @property
    def first_arrival(self) -> int:
        """When its first frame arrived, corrected as known; in nanoseconds since the Unix epoch."""
        return self.received_at[0] + self.correction

    @property
    def last_arrival(self) -> int:
        """The same of its last frame."""
        return self.received_at[-1] + self.correction

    def positions(self) -> npt.NDArray[np.int64]:
        """The position of each frame: the number of bytes before it."""
        sizes = np.fromiter(map(frame_size, self.frames), np.int64, len(self.frames))
        return self.position + np.cumsum(sizes) - sizes


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Contents).decode


def decode(data: bytes, *, position: int, end: int) -> Contents:
    """Decode the group at this position. Raises UnreadableError if it is not what was written."""
    try:
        contents = _decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise UnreadableError(f"the frames at {position} cannot be decoded: {error}") from error
    if len(contents.received_at) != len(contents.frames) or sum(map(frame_size, contents.frames)) != end - position:
        raise UnreadableError(f"the frames at {position} differ in number or length from what was written")
    return contents


def frame_size(frame: bytes) -> int:
    """How many positions a frame takes."""
    # An empty frame takes one, or the next one would have the same position.
    return len(frame) or 1


def connect(path: Path) -> sqlite3.Connection:
    """Open a journal for writing; creates an empty file, readable by its owner alone, if there is none."""
    create_private(path)
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # SyncThread syncs the log; SQLite itself only syncs where the order of its writes depends on it.
    connection.execute("PRAGMA synchronous = NORMAL")
    # Room.restart_log does it, and keeps the log within the journal's limit.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    # Some builds of SQLite overwrite what is deleted, which takes as much space again.
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a journal read-only. Raises JournalError if there is none."""
    if not path.exists():
        raise JournalError(f"there is no journal at {path}")
    with _shared_lock(path):
        connection = _connect_read_only(path)
        # Opens SQLite's log too: if the owner replaces the file now, both must be the old ones.
        with contextlib.suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA schema_version").fetchone()
        return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    # `as_uri` escapes `#`, `?` and `%`, which a path may contain.
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


def end_of(connection: sqlite3.Connection) -> tuple[int, int]:
    """The position after the last frame of an open journal, and the number of frames before it."""
    position, frames = connection.execute(sql_files.read("queries/journal/end.sql")).fetchone()
    return position, frames


def check_header(connection: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError if an open file is another program's, or of a newer layout."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application_id != APPLICATION_ID and tables:
        raise JournalError(f"{path} is a SQLite file of another program, not a journal: move it away")
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer version of ticks_platform (layout {version}, supported {VERSION}): "
            "update ticks_platform, or move the file away and replay it later"
        )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged; otherwise it is temporary, or a bug."""
    # Only SQLITE_CORRUPT and SQLITE_NOTADB have no subclass of their own.
    return type(error) is sqlite3.DatabaseError


@contextlib.contextmanager
def _shared_lock(path: Path) -> Iterator[None]:
    """Lock out a process that opens or replaces the file, if its lock can be had."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            lock = stack.enter_context(path.with_suffix(".lock").open())
            for _ in range(round(_LOCK_PATIENCE / 0.01)):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
        yield


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path, which tell if it was replaced; None if there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def is_owner(path: Path, *, identity_: tuple[int, int] | None, generation: int) -> bool:
    """Whether the file at this path is the one that an owner has opened, and no later owner has opened it.

    Raises JournalUnavailableError if that is unknown now.
    """
    if identity(path) != identity_:
        return False
    try:
        # A connection of its own: the owner's may be in a transaction on an older state of the file.
        with contextlib.closing(_connect_read_only(path)) as connection:
            row = connection.execute("SELECT generation FROM journal").fetchone()
    except sqlite3.DatabaseError as unreadable:
        if not is_damage(unreadable):
            raise JournalUnavailableError(f"{path} cannot be read: {unreadable}") from unreadable
        # Nobody else can have opened it in this state either.
        return True
    return row is None or row[0] == generation


def set_aside(path: Path) -> Path:
    """Rename a damaged file, and return its new name. Call it under `open_lock`.

    A process that has it open continues to write to the renamed file. SQLite notices that it was moved, and does not
    touch a new file at the old path.
    """
    name, number = f"{path.stem}.damaged-{time.strftime('%Y%m%dT%H%M%S')}", 1
    aside = path.with_name(f"{name}{path.suffix}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{name}-{number}{path.suffix}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def describe_damage(feed: str, error: Exception, aside: Path) -> str:
    """A message: what happened to a damaged journal, and how to recover its frames."""
    return (
        f"the journal of feed '{feed}' is damaged ({error}) and was set aside as {aside}. To load the frames that can "
        f"still be read, run `ticks replay {shlex.quote(str(aside))}`"
    )


def is_disk(error: sqlite3.OperationalError) -> bool:
    """Whether the disk is full or fails, and not only the file locked."""
    # Python 3.10 does not tell SQLite's code.
    return "disk" in str(error)


def groups(connection: sqlite3.Connection, position: int, end: int) -> Iterator[FrameGroup]:
    """Yield the groups from this position to this end. Raises sqlite3.Error and UnreadableError."""
    rows = connection.execute(
        "SELECT position, end, data FROM frame_group WHERE position >= ? AND position < ? ORDER BY position",
        (position, end),
    )
    with contextlib.closing(rows):
        for begin, until, data in rows:
            contents = decode(data, position=begin, end=until)
            yield FrameGroup(begin, until, *msgspec.structs.astuple(contents))


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


@contextlib.contextmanager
def opening(path: Path, feed: str) -> Iterator[None]:
    """Raise JournalUnavailableError where the disk, its folder or this process's limits let no file be opened."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise JournalUnavailableError(f"the journal of feed '{feed}' ({path}) cannot be opened now: {error}") from error


def open_file(
    path: Path, *, feed: str, synthetic: bool, finish: Callable[[Path], None], release: Callable[[], None]
) -> tuple[sqlite3.Connection, Opened]:
    """Open a journal for writing, or create it; call it under `open_lock`.

    A damaged file is set aside. `finish` ends what a cut-off rewrite has begun; on a full disk, `release` gives back
    the space that is reserved for this. Call it within `opening`. Raises JournalError.
    """
    try:
        try:
            finish(path)
            return _open(path, feed, synthetic)
        except (OSError, sqlite3.OperationalError):
            # Even a file that is only read needs space for SQLite's index of the log.
            release()
            finish(path)
            return _open(path, feed, synthetic)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        logger.error(  # noqa: TRY400  (the message is complete)
            "%s. Creating a new one", describe_damage(feed, error, set_aside(path))
        )
        return _open(path, feed, synthetic)


def _open(path: Path, feed: str, synthetic: bool) -> tuple[sqlite3.Connection, Opened]:
    connection = connect(path)
    try:
        return connection, _take_ownership(connection, path, feed, synthetic)
    except BaseException:
        connection.close()
        raise


def _take_ownership(connection: sqlite3.Connection, path: Path, feed: str, synthetic: bool) -> Opened:
    check_header(connection, path)
    connection.executescript(sql_files.read("journal/journal.sql"))
    # Each of these would be a write, and the disk may be full.
    for name, value in (("application_id", APPLICATION_ID), ("user_version", VERSION)):
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
        generation = abs(generation) + 1  # below zero if a process ended while it replaced the file
        connection.execute("UPDATE journal SET generation = ?", (generation,))
        end, frames = end_of(connection)
    return Opened(journal_id, frames_trimmed, generation, trimmed, end, frames)
