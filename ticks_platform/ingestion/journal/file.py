"""A journal as a file: what marks one, how it is opened and set aside, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.timescale import sql_files

APPLICATION_ID = 0x7469636B
"""Marks a SQLite file as ours: "tick"."""

VERSION = 1
"""Version of the file's layout, kept in SQLite's user_version."""


class JournalError(ActionRequiredError):
    """The journal's file cannot be used as it is; the message says why, and what to do."""


class JournalDamagedError(RetryableError):
    """The journal's file was found damaged while in use, and is set aside; the message says where it is.

    No JournalError, since nobody has to do anything for the feed to go on: its next ingestion begins a new journal.
    """


class JournalUnavailableError(RetryableError):
    """The journal cannot be written or read just now: it is locked, or the disk is full. Its frames are still in it."""


class JournalFencedError(RetryableError):
    """Another process has opened this journal for writing; this one must not append any more."""


class UnreadableError(Exception):
    """A group of frames is not what was written; whoever reads it makes a JournalDamagedError of this."""


class Contents(msgspec.Struct, array_like=True):
    """The frames of a group, and where they came from."""

    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]


class FrameGroup(NamedTuple):
    """Frames of one connection that were appended together, in order."""

    position: int
    end: int
    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]

    def positions(self) -> npt.NDArray[np.int64]:
        """The position of each frame: how many bytes came before it."""
        sizes = np.fromiter(map(frame_size, self.frames), np.int64, len(self.frames))
        return self.position + np.cumsum(sizes) - sizes


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Contents).decode


def decode(data: bytes, *, position: int, end: int) -> Contents:
    """The contents of the group at this position. Raises UnreadableError when they are not what was written."""
    try:
        contents = _decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise UnreadableError(f"the frames at {position} cannot be decoded: {error}") from error
    if len(contents.received_at) != len(contents.frames) or sum(map(frame_size, contents.frames)) != end - position:
        raise UnreadableError(f"the frames at {position} are not as many or not as long as they were")
    return contents


def frame_size(frame: bytes) -> int:
    """How many positions a frame takes."""
    # An empty frame moves the position too, or the next one would stand at the same place.
    return len(frame) or 1


def connect(path: Path) -> sqlite3.Connection:
    """Open a journal for writing, or an empty file where there is none."""
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # The file is synced by a thread of its own; SQLite itself syncs where the order of its writes depends on it.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """Open a journal for reading only. Raises JournalError when there is none."""
    if not path.exists():
        raise JournalError(f"there is no journal at {path}")
    # As a URI, in which `#`, `?` and `%` mean something: a path may hold them.
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


def end_of(connection: sqlite3.Connection) -> tuple[int, int]:
    """The position after the last frame of an open journal, and how many frames came before it."""
    position, frames = connection.execute(sql_files.read("queries/journal/end.sql")).fetchone()
    return position, frames


def check_header(connection: sqlite3.Connection, path: Path) -> None:
    """Raise JournalError when an open file is another program's, or of a layout that is not known yet."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application_id != APPLICATION_ID and tables:
        raise JournalError(f"{path} is a SQLite file of another program, not a journal: move it away")
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer version of ticks_platform (layout {version}; this one knows {VERSION}): "
            "update, or move it away and replay it later"
        )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged; if not, it is of the moment, or a bug."""
    # SQLITE_CORRUPT and SQLITE_NOTADB are the only codes that have no subclass of their own.
    return type(error) is sqlite3.DatabaseError


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """One opener at a time, since setting a damaged file aside is not a transaction."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path, so that another one that has come to stand there is noticed; None when none does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, and return it; to be called while `opening`.

    Whoever has it open goes on writing to it under its new name, and SQLite, which notices the move, leaves alone
    what comes to stand at the old one.
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
    """What happened to a damaged journal that was set aside, and how to get at what is in it."""
    return (
        f"the journal of feed '{feed}' is damaged ({error}): set aside as {aside}. "
        f"`python -m ticks_platform.ingestion replay {shlex.quote(str(aside))}` may rescue what can be read in it"
    )
