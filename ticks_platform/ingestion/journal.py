"""The journal: a local, durable log of received frames, until they are committed in the database.

It is a SQLite file in WAL mode, one per feed. Frames come in groups, and a group is one row: appending releases the
interpreter a few times a group and not a few times a frame, which decides how fast a socket can be read while another
thread decodes. A group is handed to the operating system before its frames are looked at, so it survives any end of the
process; a thread of its own syncs the file, so a power cut costs the last `sync_interval` at most.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.events import Frame
from ticks_platform.timescale import scripts

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x7469636B
"""Marks a SQLite file as ours: "tick"."""

VERSION = 1
"""Version of the file's layout, kept in SQLite's user_version."""

SYNC_INTERVAL = 0.01
"""Seconds between syncs to the disk."""


class JournalError(Exception):
    """The journal's file cannot be used as it is; the message says why, and what to do."""


class JournalUnavailableError(Exception):
    """The journal cannot be written or read just now: it is locked, or the disk is full. Its frames are still in it."""


class JournalFencedError(Exception):
    """Another process has opened this journal for writing; this one must not append any more."""


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
        sizes = np.fromiter(map(_size, self.frames), np.int64, len(self.frames))
        return self.position + np.cumsum(sizes) - sizes


class Waiting(NamedTuple):
    """What waits in a journal beyond a position."""

    frames: int
    bytes: int


class _Contents(msgspec.Struct, array_like=True):
    epoch: int
    connection: int
    received_at: list[int]
    frames: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Contents).decode


_HEAD = """
    SELECT coalesce(max(end), trimmed_position), coalesce(max(frames_before + frames), trimmed_frames)
    FROM journal LEFT JOIN frame_group
"""
# The position after the last frame, and how many frames came before it.


class Journal:
    """One feed's journal, opened for appending by one owner, who also reads and trims it.

    Threads: one appends, another takes and trims.
    """

    def __init__(
        self,
        path: Path,
        *,
        feed: str,
        synthetic: bool = False,
        max_bytes: int = 2 << 30,
        sync_interval: float = SYNC_INTERVAL,
    ) -> None:
        """Open the journal of a feed, and make it where there is none; whoever appended to it before is fenced off.

        `synthetic` tells whether its frames are made up by the stand-in. `max_bytes` bounds what waits in it. A damaged
        file is set aside under another name, and a new one is begun. Raises JournalError when the file is another
        feed's, another program's, of the other kind or of a newer version, and JournalUnavailableError when it cannot
        be opened just now.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._closing = False
        self._unbounded = False
        with _opening(path):
            try:
                self._writer = _connect(path)
                self._claim(feed, synthetic)
            except sqlite3.OperationalError as error:
                raise JournalUnavailableError(
                    f"the journal of feed {feed} ({path}) cannot be opened now: {error}"
                ) from error
            except sqlite3.DatabaseError as error:
                aside = _set_aside(path)
                logger.error(  # noqa: TRY400  (the message says it all)
                    "the journal of feed %s is damaged (%s): set aside as %s, a new one is begun", feed, error, aside
                )
                self._writer = _connect(path)
                self._claim(feed, synthetic)
        self._reader = _connect(path)
        self._next_read = self._trimmed
        self._syncing = threading.Thread(target=self._sync, args=(sync_interval,), name=f"sync-{feed}", daemon=True)
        self._dirty = threading.Event()
        self._ending = threading.Event()
        self._sync_failure: OSError | None = None
        self._syncing.start()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not committed yet."""
        return self._end - self._trimmed

    @property
    def full(self) -> bool:
        """Whether appending waits for room."""
        return self.bytes_waiting >= self._max_bytes

    @property
    def drained(self) -> bool:
        """Closed for appending, and nothing left to take."""
        with self._changed:
            return self._closing and self._next_read >= self._end

    def _claim(self, feed: str, synthetic: bool) -> None:
        connection = self._writer
        _check_header(connection, self._path)
        connection.executescript(scripts.read("journal/journal.sql"))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            row = connection.execute("SELECT * FROM journal").fetchone()
            if row is None:
                row = (feed, synthetic, str(uuid.uuid4()), 0, 0, 0)
                connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", row)
            owner, was_synthetic, journal_id, generation, trimmed, frames_trimmed = row
            if owner != feed:
                raise JournalError(
                    f"{self._path} is the journal of feed '{owner}', not of '{feed}': move it away, or give the feed "
                    "its old name back"
                )
            if bool(was_synthetic) is not synthetic:
                kinds = ("live", "the stand-in's")
                raise JournalError(
                    f"{self._path} holds frames that are {kinds[bool(was_synthetic)]}, and feed '{feed}' is "
                    f"{kinds[synthetic]} now: remove the journal, or give the feed another name"
                )
            self._generation = generation + 1
            connection.execute("UPDATE journal SET generation = ?", (self._generation,))
            end, frames = connection.execute(_HEAD).fetchone()
        self.journal_id: str = journal_id
        self.frames_trimmed: int = frames_trimmed
        """Frames that were committed and forgotten before it was opened."""
        self._trimmed: int = trimmed
        self._end: int = end
        self._frames: int = frames

    @property
    def start(self) -> int | None:
        """Where the oldest frame in it stands, or would; None when nothing was ever appended."""
        return self._trimmed if self._end else None

    def append(self, frames: Sequence[Frame], *, epoch: int) -> None:
        """Append frames of one connection; when this returns, they survive the end of the process.

        Waits while the journal is full, which stops the reading of the socket. Raises JournalFencedError, and
        JournalUnavailableError when the file can no longer be synced to its disk.
        """
        if not frames:
            return
        if self._sync_failure is not None:
            raise JournalUnavailableError(f"{self._path} cannot be synced: {self._sync_failure}")
        received_at, data = [frame.received_at for frame in frames], [frame.data for frame in frames]
        size = sum(map(_size, data))
        contents = _encode(_Contents(epoch, frames[0].connection, received_at, data))
        with self._changed:
            self._changed.wait_for(lambda: self._unbounded or not self.full)
            with self._writer:
                stored = self._writer.execute(
                    "INSERT INTO frame_group SELECT ?, ?, ?, ?, ? FROM journal WHERE generation = ?",
                    (self._end, self._end + size, self._frames, len(data), contents, self._generation),
                ).rowcount
            if not stored:
                raise JournalFencedError(f"{self._path} was opened by another process, which now appends to it")
            self._end += size
            self._frames += len(data)
            self._changed.notify_all()
        self._dirty.set()

    def take(self, *, max_bytes: int, linger: float, wait: float) -> list[FrameGroup]:
        """The next groups, oldest first, up to about `max_bytes` of frames, but at least one when there is one.

        Waits up to `wait` seconds for the first, then `linger` for company. Taken groups stay until they are trimmed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next_read < self._end or self._closing, wait)
            if self._next_read >= self._end:
                return []
            enough = self._next_read + max_bytes
            self._changed.wait_for(lambda: self._closing or self._end >= enough, linger)
        groups: list[FrameGroup] = []
        rows = self._reader.execute(
            "SELECT position, end, data FROM frame_group WHERE position >= ? ORDER BY position", (self._next_read,)
        )
        with contextlib.closing(rows):
            for position, end, data in rows:
                contents = _decode(data)
                groups.append(
                    FrameGroup(
                        position, end, contents.epoch, contents.connection, contents.received_at, contents.frames
                    )
                )
                self._next_read = end
                if end >= enough:
                    break
        return groups

    def seek(self, position: int, *, frames: int) -> None:
        """Take from this position on: where the database's checkpoint stands, after so many frames of this journal.

        A journal that ends before it begins again there: an unused one, one that lost its last frames in a power cut
        after they were committed, or one that was restored from a copy. Appending at positions that the database has
        seen already would make it take new frames for old ones.
        """
        if position > self._end:
            if self.start is not None:
                logger.warning(
                    "%s ends before what the database has loaded out of it; it begins again there", self._path
                )
            with self._changed, self._writer:
                self._writer.execute("DELETE FROM frame_group")
                self._writer.execute("UPDATE journal SET trimmed_position = ?, trimmed_frames = ?", (position, frames))
            self._end = self._trimmed = self._next_read = position
            self._frames = frames
            return
        row = self._reader.execute("SELECT min(position) FROM frame_group WHERE end > ?", (position,)).fetchone()
        self._next_read = self._end if row[0] is None else row[0]
        self.trim(position)

    def trim(self, position: int) -> None:
        """Forget the frames before this position: they are committed."""
        with self._changed:
            with self._writer:
                self._writer.execute(
                    """
                    UPDATE journal SET trimmed_position = max(trimmed_position, ?), trimmed_frames = coalesce(
                        (SELECT frames_before + frames FROM frame_group
                         WHERE position < ? ORDER BY position DESC LIMIT 1),
                        trimmed_frames)
                    """,
                    (position, position),
                )
                # A group is committed whole, so the key decides; a scan would hold up the reading of the socket.
                self._writer.execute("DELETE FROM frame_group WHERE position < ?", (position,))
            self._trimmed = max(self._trimmed, position)
            self._changed.notify_all()

    def take_all(self) -> None:
        """From now on, append whatever the budget says: on a stop there is no other place for what has been read."""
        with self._changed:
            self._unbounded = True
            self._changed.notify_all()

    def stop_appending(self) -> None:
        """Nothing more will be appended: what is taken now is the last of it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file; what waits in it stays for the next owner."""
        self.take_all()
        self.stop_appending()
        self._ending.set()
        self._dirty.set()
        self._syncing.join()
        self._reader.close()
        self._writer.close()

    def _sync(self, interval: float) -> None:
        descriptor = os.open(f"{self._path}-wal", os.O_RDWR)
        try:
            while not self._ending.is_set():
                self._dirty.wait()
                self._dirty.clear()
                os.fdatasync(descriptor)
                self._ending.wait(interval)
        except OSError as error:
            logger.exception("%s cannot be synced", self._path)
            self._sync_failure = error
        finally:
            os.close(descriptor)


class Snapshot:
    """A journal as of one moment, seen from outside while its owner goes on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.feed: str
        self.journal_id: str
        self.feed, self.journal_id = connection.execute("SELECT feed, journal_id FROM journal").fetchone()
        self.end: int
        """The position after the last frame."""
        self.frames_appended: int
        """Frames taken in since the journal was made."""
        self.end, self.frames_appended = connection.execute(_HEAD).fetchone()

    def beyond(self, position: int) -> Waiting:
        """What stands at this position and after it."""
        frames, size = self._connection.execute(
            "SELECT coalesce(sum(frames), 0), coalesce(sum(end - position), 0) FROM frame_group WHERE end > ?",
            (position,),
        ).fetchone()
        return Waiting(frames, size)


@contextlib.contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Look into a journal, without disturbing its owner. Raises JournalError when it is not there or cannot be read."""
    if not path.exists():
        raise JournalError(f"there is no journal at {path}")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            _check_header(connection, path)
            connection.execute("BEGIN")
            yield Snapshot(connection)
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{path} cannot be read: {error}") from error


def _size(frame: bytes) -> int:
    # An empty frame moves the position too, or the next one would stand at the same place.
    return len(frame) or 1


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # The file is synced by a thread of its own; SQLite itself syncs where the order of its writes depends on it.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def _check_header(connection: sqlite3.Connection, path: Path) -> None:
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


@contextlib.contextmanager
def _opening(path: Path) -> Iterator[None]:
    """One opener at a time, since setting a damaged file aside is not a transaction."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.stem}.damaged-{time.strftime('%Y%m%dT%H%M%S')}{path.suffix}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
