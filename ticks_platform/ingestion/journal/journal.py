"""The journal: a local, durable log of received frames, until they are committed in the database.

It is a SQLite file in WAL mode, one per feed. Frames come in groups, and a group is one row: appending releases the
interpreter a few times a group and not a few times a frame, which decides how fast a socket can be read while another
thread decodes. A group is handed to the operating system before its frames are looked at, so it survives any end of the
process; a thread of its own syncs the file, so a power cut costs the last `sync_interval` at most, as long as the disk
takes the syncs.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.file import (
    Contents,
    FrameGroup,
    JournalDamagedError,
    JournalError,
    JournalFencedError,
    JournalUnavailableError,
    frame_size,
)
from ticks_platform.ingestion.journal.sync import Syncing
from ticks_platform.timescale import sql_files

__all__ = [
    "SYNC_INTERVAL",
    "FrameGroup",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFencedError",
    "JournalUnavailableError",
]

logger = logging.getLogger(__name__)

SYNC_INTERVAL = 0.01
"""Seconds between syncs to the disk."""

_PATIENCE = 5.0
"""Seconds that a write waits for whoever else has locked the file, before it counts as failed for now."""


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
        file is set aside, and a new one is begun. Raises JournalError when the file is another feed's, another
        program's, of the other kind or of a newer version, and JournalUnavailableError when it cannot be opened now.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._feed = feed
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._closing = False
        self._unbounded = False
        self._damage: JournalDamagedError | None = None
        with journal_file.opening(path):
            try:
                self._writer = journal_file.connect(path)
                self._take_over(feed, synthetic)
            except sqlite3.OperationalError as error:
                raise JournalUnavailableError(
                    f"the journal of feed {feed} ({path}) cannot be opened now: {error}"
                ) from error
            except sqlite3.DatabaseError as error:
                logger.error(  # noqa: TRY400  (the message says it all)
                    "%s. A new one is begun", journal_file.describe_damage(feed, error, journal_file.set_aside(path))
                )
                self._writer = journal_file.connect(path)
                self._take_over(feed, synthetic)
            self._identity = journal_file.identity(path)
        # From here on, a writer that has waited in vain keeps others of this process waiting, and tries again anyway.
        self._writer.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}")
        self._reader = journal_file.connect(path)
        self._next_read = self._trimmed
        self._syncing = Syncing(path, interval=sync_interval, write_again=self._write_again)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not committed yet."""
        return self._end - self._trimmed

    @property
    def end(self) -> int:
        """The position after the last frame."""
        return self._end

    @property
    def full(self) -> bool:
        """Whether appending waits for room."""
        return self.bytes_waiting >= self._max_bytes

    @property
    def drained(self) -> bool:
        """Closed for appending, and nothing left to take."""
        with self._changed:
            return self._closing and self._next_read >= self._end

    def _take_over(self, feed: str, synthetic: bool) -> None:
        connection = self._writer
        journal_file.check_header(connection, self._path)
        connection.executescript(sql_files.read("journal/journal.sql"))
        connection.execute(f"PRAGMA application_id = {journal_file.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {journal_file.VERSION}")
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
            end, frames = journal_file.end_of(connection)
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

        Waits while the journal is full, which stops the reading of the socket. Raises JournalUnavailableError when the
        file cannot be written or synced just now: the frames are not in it, and may be appended again. Raises
        JournalFencedError and JournalDamagedError.
        """
        if not frames:
            return
        if self._syncing.failure is not None:
            raise JournalUnavailableError(f"{self._path} cannot be synced: {self._syncing.failure}")
        received_at, data = [frame.received_at for frame in frames], [frame.data for frame in frames]
        size = sum(map(frame_size, data))
        contents = journal_file.encode(Contents(epoch, frames[0].connection, received_at, data))
        with self._in_words("written"), self._changed:
            self._changed.wait_for(lambda: self._unbounded or not self.full)
            with self._writer:
                stored = self._writer.execute(
                    "INSERT INTO frame_group SELECT ?, ?, ?, ?, ? FROM journal WHERE generation = ?",
                    (self._end, self._end + size, self._frames, len(data), contents, self._generation),
                ).rowcount
            if not stored:
                raise self._fenced()
            self._end += size
            self._frames += len(data)
            self._changed.notify_all()
        self._syncing.due()

    def take(self, *, max_bytes: int, linger: float, wait: float) -> list[FrameGroup]:
        """The next groups, oldest first, up to about `max_bytes` of frames, but at least one when there is one.

        Waits up to `wait` seconds for the first, then `linger` for company. Taken groups stay until they are trimmed.
        Raises JournalDamagedError when the next one cannot be read, JournalUnavailableError when it can later, perhaps.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next_read < self._end or self._closing, wait)
            if self._next_read >= self._end:
                return []
            enough = self._next_read + max_bytes
            self._changed.wait_for(lambda: self._closing or self._end >= enough, linger)
        groups: list[FrameGroup] = []
        with self._in_words("read"):
            try:
                for group in self._read():
                    groups.append(group)
                    self._next_read = group.end
                    if group.end >= enough:
                        break
            except (sqlite3.DatabaseError, journal_file.UnreadableError):
                # What stands before the trouble is good; the next call meets the trouble first.
                if not groups:
                    raise
        return groups

    def _read(self) -> Iterator[FrameGroup]:
        rows = self._reader.execute(
            # What a next owner appends behind the end that is known here is not for this one.
            "SELECT position, end, data FROM frame_group WHERE position >= ? AND position < ? ORDER BY position",
            (self._next_read, self._end),
        )
        with contextlib.closing(rows):
            for position, end, data in rows:
                contents = journal_file.decode(data, position=position, end=end)
                yield FrameGroup(
                    position, end, contents.epoch, contents.connection, contents.received_at, contents.frames
                )

    def seek(self, position: int, *, frames: int) -> None:
        """Take from this position on: where the database's checkpoint stands, after so many frames of this journal.

        A journal that ends before it begins again there: an unused one, one that lost its last frames in a power cut
        after they were committed, or one that was restored from a copy. Appending at positions that the database has
        seen already would make it take new frames for old ones. Raises JournalDamagedError and JournalUnavailableError.
        """
        if position > self._end:
            if self.start is not None:
                logger.warning(
                    "%s ends before what the database has loaded out of it; it begins again there", self._path
                )
            with self._in_words("written"), self._changed, self._writer:
                self._writer.execute("DELETE FROM frame_group")
                self._writer.execute("UPDATE journal SET trimmed_position = ?, trimmed_frames = ?", (position, frames))
            self._end = self._trimmed = self._next_read = position
            self._frames = frames
            return
        with self._in_words("read"), self._changed:
            row = self._reader.execute("SELECT min(position) FROM frame_group WHERE end > ?", (position,)).fetchone()
            self._next_read = self._end if row[0] is None else row[0]
        self.trim(position)

    def begin_behind(self, position: int) -> None:
        """Append behind this position from now on, if nothing waits in here: its frames then sort after others'.

        Raises JournalUnavailableError and JournalDamagedError.
        """
        if self.bytes_waiting or position <= self._end:
            return
        with self._in_words("written"), self._changed, self._writer:
            self._writer.execute("UPDATE journal SET trimmed_position = ?", (position,))
        self._end = self._trimmed = self._next_read = position

    def waiting(self) -> Iterator[FrameGroup]:
        """What is still to be taken, oldest first, without taking it. Raises as `take` does."""
        with self._in_words("read"):
            yield from self._read()

    def trim(self, position: int) -> None:
        """Forget the frames before this position: they are committed. Raises JournalDamagedError."""
        with self._in_words("trimmed"), self._changed:
            try:
                self._delete_before(position)
            except sqlite3.OperationalError as error:
                # A full disk does not even take a deletion. The next trim, or the next owner's, makes up for this one.
                logger.warning("%s cannot be trimmed now: %s", self._path, error)
            self._trimmed = max(self._trimmed, position)
            self._changed.notify_all()

    def _delete_before(self, position: int) -> None:
        with self._writer:
            # Not in a file: Python 3.10 takes what begins with a comment for no change, and begins no transaction.
            self._writer.execute(
                """
                UPDATE journal SET trimmed_position = max(trimmed_position, ?), trimmed_frames = coalesce(
                    (SELECT frames_before + frames FROM frame_group WHERE position < ? ORDER BY position DESC LIMIT 1),
                    trimmed_frames)
                """,
                (position, position),
            )
            # A group is committed whole, so the key decides; a scan would hold up the reading of the socket.
            self._writer.execute("DELETE FROM frame_group WHERE position < ?", (position,))

    def lift_limit(self) -> None:
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
        self.lift_limit()
        self.stop_appending()
        self._syncing.end()
        self._reader.close()
        self._writer.close()

    @contextlib.contextmanager
    def _in_words(self, done: str) -> Iterator[None]:
        """Turn SQLite's errors into this module's, and set a file that is found damaged aside."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise JournalUnavailableError(f"{self._path} cannot be {done}: {error}") from error
        except (sqlite3.DatabaseError, journal_file.UnreadableError) as error:
            if isinstance(error, sqlite3.Error) and not journal_file.is_damage(error):
                raise
            raise self._set_aside(error) from error

    def _set_aside(self, error: Exception) -> JournalDamagedError | JournalFencedError:
        """Give the damaged file another name if it is still this owner's, and return what to raise."""
        with journal_file.opening(self._path):
            if self._damage is None:
                if not self._is_mine():
                    return self._fenced()
                aside = journal_file.set_aside(self._path)
                self._damage = JournalDamagedError(
                    f"{journal_file.describe_damage(self._feed, error, aside)}. The feed's next run begins a new one"
                )
            return self._damage

    def _is_mine(self) -> bool:
        if journal_file.identity(self._path) != self._identity:
            return False
        try:
            # On a connection of its own: the reader's may be in the middle of an older state of the file.
            with contextlib.closing(journal_file.connect_to_look(self._path)) as connection:
                row = connection.execute("SELECT generation FROM journal").fetchone()
        except sqlite3.DatabaseError as unreadable:
            if not journal_file.is_damage(unreadable):
                raise JournalUnavailableError(f"{self._path} cannot be read: {unreadable}") from unreadable
            # Nobody else can have taken it over either, in this state.
            return True
        return row is None or row[0] == self._generation

    def _fenced(self) -> JournalFencedError:
        return JournalFencedError(f"{self._path} was opened by another process, which now appends to it")

    def _write_again(self) -> None:
        """Copy what stands in SQLite's log into the file proper, after which the next append begins at its start.

        A reader in the way leaves a part of it to a later checkpoint.
        """
        with self._changed:
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
