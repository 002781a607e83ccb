"""The journal: a local, durable log of received frames until they are committed in the database.

It is a SQLite file in WAL mode. Frames are appended in groups, one row per group, because each statement releases the
interpreter lock several times; that limits how fast a socket is read while another thread decodes. A group is handed to
the operating system before its frames are decoded, so it survives the end of the process. A separate thread syncs the
file, so power loss costs at most the last `sync_interval`, as long as the disk accepts the syncs.

One module because all that appends, frees space and replaces the file does so under one lock.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal import space
from ticks_platform.ingestion.journal.file import (
    FrameGroup,
    JournalDamagedError,
    JournalError,
    JournalFencedError,
    JournalFullError,
    JournalUnavailableError,
    contents_of,
    frame_size,
)
from ticks_platform.ingestion.journal.reader import Reader
from ticks_platform.ingestion.journal.recent_frames import RecentFrames
from ticks_platform.ingestion.journal.rewrite import finish, rewrite
from ticks_platform.ingestion.journal.space import Room
from ticks_platform.ingestion.journal.sync import SyncThread
from ticks_platform.ingestion.journal.trimming import delete_before
from ticks_platform.paths import make_private, open_lock

__all__ = [
    "SYNC_INTERVAL",
    "FrameGroup",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFencedError",
    "JournalFullError",
    "JournalUnavailableError",
]

logger = logging.getLogger(__name__)

SYNC_INTERVAL = 0.01
"""Seconds between syncs to the disk."""

_ROOM_INTERVAL = 0.2
"""Seconds between looks for room, if neither the disk nor a reader tells when there is some."""

_BUSY_TIMEOUT = 5.0
"""Seconds that a write waits for another process's lock on the file before it fails."""


class Journal:
    """A feed's journal, opened by its one owner, who appends, reads and trims.

    One thread may append while another takes and trims.
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
        """Open a feed's journal, or create it; an earlier owner can no longer append.

        `synthetic` tells whether the stand-in made its frames. `max_bytes` limits what its files take on the disk; they
        take 0.5 MB at least. A damaged file is set aside and a new one created. Its folder is made readable by its
        owner alone. Raises JournalError if the file belongs to another feed or program, is of the other kind (synthetic
        or live) or of a newer version, and JournalUnavailableError if it cannot be opened now.
        """
        self._path = path
        self._feed = feed
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self.journal_id: str
        self.frames_trimmed: int
        """Frames that were committed and deleted before the file was opened."""
        self._closing = False
        self._is_stopping = False
        self._damage: JournalDamagedError | None = None
        self._trim_trouble: str | None = None
        """Why frames could not be deleted last, which is logged once."""
        self._budget = space.Budget.of(max_bytes)
        self._reserve = space.Reserve(path, self._budget.reserve)
        with journal_file.opening(path, feed):
            make_private(path.parent)
            with open_lock(path):
                self._writer, opened = journal_file.open_file(
                    path, feed=feed, synthetic=synthetic, finish=finish, release=self._reserve.release
                )
                self._identity = journal_file.identity(path)
            self._reader = Reader(journal_file.connect(path))
        self.journal_id, self.frames_trimmed, self._generation = opened[:3]
        self._trimmed, self._end, self._frames = opened[3:]
        self._next_read = self._trimmed
        self._room = Room(path, self._budget)
        self.recent = RecentFrames()
        self._blocked: str | None = None
        self._use(self._writer)
        self._is_open = True
        self._reserve.hold()
        self._sync = SyncThread(path, interval=sync_interval, rewrite=self._checkpoint_wal)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def start(self) -> int | None:
        """The position of the oldest frame, or of the next one if none waits; None if nothing was ever appended."""
        return self._trimmed if self._end else None

    @property
    def end(self) -> int:
        """The position after the last frame."""
        return self._end

    @property
    def synced_end(self) -> int:
        """The position up to which everything is on the disk, also after a power loss."""
        return min(self._sync.synced, self._end)

    @property
    def frames_appended(self) -> int:
        """Frames that were ever appended."""
        return self._frames

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not committed."""
        return self._end - self._trimmed

    @property
    def full(self) -> bool:
        """Whether `append` waits for space."""
        return self.bytes_waiting >= self._max_bytes or self._blocked is not None

    @property
    def full_of(self) -> str:
        """What takes the space that `append` waits for, in words."""
        return self._blocked or f"{self.bytes_waiting >> 20} MB wait"

    @property
    def drained(self) -> bool:
        """Whether nothing more will be appended, and everything was taken."""
        with self._changed:
            return self._closing and self._next_read >= self._end

    def append(self, frames: Sequence[Frame], *, epoch: int) -> None:
        """Append frames of one connection; when this returns, they survive the end of the process.

        Blocks while the journal is full, which stops the reading of the socket. Raises JournalUnavailableError if the
        file cannot be written or synced now: the frames are not in it and may be appended again. Raises
        JournalFullError after `stop_appending`, JournalFencedError and JournalDamagedError.
        """
        if not frames:
            return
        if self._sync.failure is not None:
            raise JournalUnavailableError(f"{self._path} cannot be synced: {self._sync.failure}")
        group = contents_of(frames, epoch=epoch)
        group.again = self.recent.again((epoch, group.connection), group.frames)
        size, contents = sum(map(frame_size, group.frames)), journal_file.encode(group)
        with self._translate_errors("written"), self._changed:
            self._wait_for_room(size)
            try:
                self._insert(size, len(frames), contents)
            except sqlite3.OperationalError as error:
                if not (journal_file.is_disk(error) and self._rewrite()):
                    raise
                self._insert(size, len(frames), contents)
            self._end += size
            self._frames += len(frames)
            self.recent.remember((epoch, group.connection), group.frames)
            self._changed.notify_all()
            self._sync.request(self._end)

    def sync_soon(self) -> None:
        """Sync what is written, if it was there before the file was opened, or its file was replaced."""
        self._sync.request(self._end)

    def take(self, *, max_bytes: int, linger: float, wait: float) -> list[FrameGroup]:
        """Return the next groups, oldest first: about `max_bytes` of frames, but at least one group if there is one.

        Waits up to `wait` seconds for the first group, then up to `linger` seconds for more. The groups stay in the
        file until they are trimmed. Raises JournalDamagedError if the next group cannot be read, and
        JournalUnavailableError if it cannot be read now.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next_read < self._end or self._closing, wait)
            if self._next_read >= self._end:
                return []
            enough = self._next_read + max_bytes
            self._changed.wait_for(lambda: self._closing or self._end >= enough, linger)
            try:
                self._open_rewritten()
            except sqlite3.OperationalError:
                self._changed.wait(_ROOM_INTERVAL)
                return []
        groups: list[FrameGroup] = []
        with self._translate_errors("read"):
            try:
                for group in self._read():
                    groups.append(group)
                    self._next_read = group.end
                    if group.end >= enough:
                        break
            except (sqlite3.DatabaseError, journal_file.UnreadableError):
                # The groups before the unreadable one are good; the next call raises.
                if not groups:
                    raise
        return groups

    def take_again(self, position: int) -> None:
        """Let the next `take` begin at a group that was taken already."""
        self._next_read = position

    def peek(self) -> Iterator[FrameGroup]:
        """Yield the groups that are not taken yet, oldest first, without taking them. Raises as `take` does."""
        with self._translate_errors("read"):
            yield from self._read()

    def seek(self, position: int, *, frames: int) -> None:
        """Take from this position on: the database's checkpoint, which `frames` frames of this journal precede.

        A journal that ends before the checkpoint continues there. It is unused, or lost its last frames in a power loss
        after they were committed, or was restored from a copy. If it appended at positions that the database has
        already loaded, new frames would be mistaken for old ones. Raises JournalDamagedError and
        JournalUnavailableError.
        """
        if position > self._end:
            if self.start is not None:
                logger.warning("%s ends before the database's checkpoint; continuing at the checkpoint", self._path)
            with self._translate_errors("written"), self._changed, self._writer:
                self._writer.execute("DELETE FROM frame_group")
                self._writer.execute("UPDATE journal SET trimmed_position = ?, trimmed_frames = ?", (position, frames))
            self._end = self._trimmed = self._next_read = position
            self._frames = frames
            return
        with self._translate_errors("read"), self._changed, self._reader.use() as reader:
            row = reader.execute("SELECT min(position) FROM frame_group WHERE end > ?", (position,)).fetchone()
            self._next_read = self._end if row[0] is None else row[0]
        self.trim(position)

    def skip_to(self, position: int) -> None:
        """Append from this position on, so that new frames sort after another journal's; no effect if frames wait.

        Raises JournalUnavailableError and JournalDamagedError.
        """
        if self.bytes_waiting or position <= self._end:
            return
        with self._translate_errors("written"), self._changed, self._writer:
            self._writer.execute("UPDATE journal SET trimmed_position = ?", (position,))
        self._end = self._trimmed = self._next_read = position

    def trim(self, position: int) -> None:
        """Delete the frames before this position: they are committed. Raises JournalDamagedError."""
        with self._translate_errors("trimmed"), self._changed:
            size = position - self._trimmed
            self._trimmed = max(self._trimmed, position)
            deleted = False
            try:
                self._open_rewritten()
                self._room.shorten_log(self._writer)
                # While somebody reads, a deletion takes space and frees none.
                if self._reserve.hold() and not self._room.is_blocked():
                    delete_before(self._writer, position)
                    deleted, self._trim_trouble = True, None
            except sqlite3.OperationalError as error:
                if str(error) != self._trim_trouble:
                    self._trim_trouble = str(error)
                    logger.warning("%s cannot be trimmed now: %s", self._path, error)
            self._room.trimmed(max(0, size))
            if not deleted or self._room.is_too_large():
                self._rewrite()
            self._changed.notify_all()

    def begin_stop(self) -> None:
        """From now on, use the room that is set apart for what has arrived at a stop.

        Where that is too little, `append` waits until frames are committed, but not beyond `stop_appending`.
        """
        with self._changed:
            self._is_stopping = True
            self._room.give_last()
            self._changed.notify_all()

    def stop_appending(self) -> None:
        """Declare that nothing more will be appended; an append that waits for room fails."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file; the frames that wait in it stay for the next owner."""
        self.stop_appending()
        self._sync.stop()
        self._reader.retire()
        self._writer.close()

    def _use(self, writer: sqlite3.Connection) -> None:
        """Append with this connection from now on."""
        # Shorter than while opening: a writer that waits blocks this process's other threads, and retries anyway.
        writer.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT * 1000:.0f}")
        self._writer = writer

    def _wait_for_room(self, size: int) -> None:
        """Wait until the files have room for frames of this many bytes.

        Raises sqlite3.Error if the disk has none, JournalFullError if there is none after `stop_appending`.
        """
        while True:
            self._blocked = self._find_room(size)
            if self._blocked is None:
                return
            if self._closing:
                if not self._is_owner():
                    raise self._fenced()
                raise JournalFullError(
                    f"the journal of feed '{self._feed}' is full ({self._blocked}, its files in {self._path.parent} "
                    f"may take {self._max_bytes / (1 << 20):.0f} MB)"
                )
            self._changed.wait(_ROOM_INTERVAL)

    def _find_room(self, size: int) -> str | None:
        """What takes the room, or None if there is room."""
        if self.bytes_waiting >= self._max_bytes and not self._is_stopping:
            return f"{self.bytes_waiting >> 20} MB wait"
        self._open_rewritten()
        # What frees space must always have some: neither frames nor deletions get the last of it.
        if not self._reserve.hold() and not (self._rewrite() and self._reserve.held):
            raise sqlite3.OperationalError("database or disk is full")
        if not self._room.in_file(self._writer, size):
            # What waits may be little, in a file that has grown.
            has_room = self._rewrite() and self._room.in_file(self._writer, size)
            if not has_room and self.bytes_waiting:
                return f"{self.bytes_waiting / (1 << 20):.1f} MB wait"
        if self._room.log_is_short(self._writer, size) or self._rewrite() or self._room.within_budget(size):
            return None
        return "somebody reads it, so that what is committed cannot be freed"

    def _insert(self, size: int, frames: int, contents: bytes) -> None:
        with self._writer:
            stored = self._writer.execute(
                "INSERT INTO frame_group SELECT ?, ?, ?, ?, ? FROM journal WHERE generation = ?",
                (self._end, self._end + size, self._frames, frames, contents, self._generation),
            ).rowcount
        if not stored:
            raise self._fenced()

    def _rewrite(self) -> bool:
        """Replace the file by one with the waiting frames only, if that frees space; whether it was done."""
        if not self._is_open or not self._room.for_copy(self.bytes_waiting):
            return False
        with contextlib.ExitStack() as locked:
            try:
                locked.enter_context(open_lock(self._path))
            except OSError as error:
                logger.warning("%s cannot be rewritten now: %s", self._path, error)
                return False
            if not self._is_owner():
                return False
            self._reserve.release()
            try:
                replaced = rewrite(self._writer, self._path, position=self._trimmed)
            except (OSError, sqlite3.OperationalError) as error:
                logger.warning("%s cannot be rewritten now: %s", self._path, error)
                self._reserve.hold()
                return False
            writer, reader, self._is_open = self._writer, self._reader, False
            with contextlib.suppress(sqlite3.OperationalError):
                self._open_rewritten(is_locked=True)
        writer.close()
        reader.retire()
        # Others may have taken what the reserve gave back; then there is what the old file has.
        if not (self._is_open and self._reserve.hold()) and reader.wait_unused(_BUSY_TIMEOUT):
            replaced.cut()
        replaced.close()
        try:
            self._open_rewritten()
        except sqlite3.OperationalError as error:
            logger.warning("%s cannot be opened now: %s", self._path, error)
            return False
        self._reserve.hold()
        return True

    def _open_rewritten(self, *, is_locked: bool = False) -> None:
        """Open the file that replaced the one before, if that is not done. Raises sqlite3.Error.

        `is_locked` tells whether the caller has its lock.
        """
        if self._is_open:
            return
        with contextlib.nullcontext() if is_locked else open_lock(self._path):
            writer = journal_file.connect(self._path)
            try:
                self._reader = Reader(journal_file.connect(self._path))
            except BaseException:
                writer.close()
                raise
            self._use(writer)
            self._identity = journal_file.identity(self._path)
        self._is_open = True
        self._room.look_again()

    def _read(self) -> Iterator[FrameGroup]:
        with contextlib.ExitStack() as reading:
            with self._changed:
                self._open_rewritten()
                connection = reading.enter_context(self._reader.use())
            # A later owner may append after the end that is known here; its groups are not this owner's.
            yield from journal_file.groups(connection, self._next_read, self._end)

    @contextlib.contextmanager
    def _translate_errors(self, done: str) -> Iterator[None]:
        """Raise this module's errors instead of SQLite's, and set a damaged file aside."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise JournalUnavailableError(f"{self._path} cannot be {done}: {error}") from error
        except (sqlite3.DatabaseError, journal_file.UnreadableError) as error:
            if isinstance(error, sqlite3.Error) and not journal_file.is_damage(error):
                raise
            raise self._set_aside(error) from error

    def _set_aside(self, error: Exception) -> JournalDamagedError | JournalFencedError:
        """Rename the damaged file if this is still its owner, and return what to raise."""
        with open_lock(self._path):
            if self._damage is None:
                if not self._is_owner():
                    return self._fenced()
                aside = journal_file.set_aside(self._path)
                self._damage = JournalDamagedError(
                    f"{journal_file.describe_damage(self._feed, error, aside)}. The feed's next run creates a new one"
                )
            return self._damage

    def _is_owner(self) -> bool:
        return journal_file.is_owner(self._path, identity_=self._identity, generation=self._generation)

    def _fenced(self) -> JournalFencedError:
        return JournalFencedError(f"{self._path} was opened by another process, which appends to it now")

    def _checkpoint_wal(self) -> None:
        """Copy SQLite's log into the main file; the next append then starts at the begin of the log.

        If a reader is active, a later checkpoint copies the rest.
        """
        with self._changed:
            if self._is_open:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
