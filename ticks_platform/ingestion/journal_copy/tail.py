"""Reads a journal on this machine's disk behind the receiver, which never waits for that."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Protocol

from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.file import JournalError, UnreadableError
from ticks_platform.ingestion.journal_copy.messages import Bundle, Extent, Group, Note
from ticks_platform.timescale import sql_files

logger = logging.getLogger(__name__)

BUNDLE_BYTES = 512 << 10
"""Bytes of frames that are published together, approximately."""

MAX_NOTES = 100
"""Notes of coverage that are published together."""

_AGE_KEPT = 1.0
"""Seconds for which the arrival of the oldest frame is not looked up again."""


class OpenJournal(Protocol):
    """A journal that this process has opened."""

    journal_id: str

    @property
    def path(self) -> Path: ...

    @property
    def start(self) -> int | None: ...

    @property
    def end(self) -> int: ...

    @property
    def synced_end(self) -> int: ...

    @property
    def frames_appended(self) -> int: ...

    @property
    def drained(self) -> bool: ...

    def sync_soon(self) -> None: ...


class Tail:
    """One journal, of which the shipper's thread reads what is not copied yet. Counts are safe from any thread."""

    def __init__(self, journal: OpenJournal) -> None:
        self.journal = journal
        self.journal_id = journal.journal_id
        self.shipped = self.committed
        """The position up to which all is copied, or was committed before."""
        self.is_contradicted = False
        """Whether the copy has more of this journal than the disk had at first, which was restored from an older state:
        what is appended now has positions of other frames there."""
        self._end_at_first = journal.end
        self._earlier = 0
        self._note = 0
        self._messages: deque[tuple[int, int]] = deque()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._oldest: tuple[float, int, int] | None = None

    @property
    def committed(self) -> int:
        """The position up to which all is committed in the database."""
        return self.journal.start or 0

    @property
    def unshipped(self) -> int:
        """Bytes that this machine's disk alone has."""
        return max(0, self.journal.end - max(self.shipped, self.committed))

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be appended, and all is committed."""
        return self.journal.drained and self.committed >= self.journal.end

    @property
    def extent(self) -> Extent:
        """How far the journal goes now."""
        return Extent(self.journal.end, self.journal.frames_appended)

    def begin(self, end: int) -> None:
        """Continue behind what an earlier owner has copied of this journal."""
        self._earlier = end
        self.is_contradicted = end > self._end_at_first
        self.shipped = self.committed if self.is_contradicted else max(self.committed, end)

    def begin_again(self) -> None:
        """Continue with what is not committed: all that an earlier owner has copied is loaded and deleted."""
        self._earlier = 0
        self.is_contradicted = False
        self.shipped = self.committed

    def read(self) -> Bundle | None:
        """The next groups that are on the disk for good, with the notes before them; None if there are none.

        Raises sqlite3.Error and OSError where the file cannot be read now.
        """
        synced = self.journal.synced_end
        begin = max(self.shipped, self.committed)
        if synced < self.journal.end:
            self.journal.sync_soon()
        try:
            return self._read(begin, synced)
        except BaseException:
            self.close()
            raise

    def _read(self, begin: int, synced: int) -> Bundle | None:
        connection = self._open()
        connection.execute("BEGIN")
        try:
            # Notes are written before the frames that rely on them.
            query = "SELECT number, epoch, periods FROM coverage_note WHERE number > ? ORDER BY number LIMIT ?"
            notes = [Note(*row) for row in connection.execute(query, (self._note, MAX_NOTES))]
            groups: list[Group] = []
            if begin < synced and len(notes) < MAX_NOTES:
                groups = _groups(connection, begin, synced)
        finally:
            connection.execute("ROLLBACK")
        return Bundle(notes, groups) if notes or groups else None

    def was_shipped(self, bundle: Bundle, sequence: int) -> None:
        """A bundle is stored under this number, that of its last message."""
        if bundle.notes:
            self._note = bundle.notes[-1].number
        if bundle.groups:
            self.shipped = max(self.shipped, bundle.groups[-1].end)
        self._messages.append((sequence, self.shipped))

    def deletable(self, marker: int) -> int | None:
        """The number of the stream before which this journal's messages are not needed, if that has changed.

        `marker` is that of this owner's marker. The last message is kept: it tells how far the copy goes.
        """
        committed, before = self.committed, None
        if self.is_contradicted:
            return None
        if self._earlier and committed >= self._earlier:
            self._earlier, before = 0, marker
        while len(self._messages) > 1 and self._messages[0][1] <= committed:
            self._messages.popleft()
            before = self._messages[0][0]
        return before

    def oldest_arrival(self) -> int | None:
        """When the oldest frame arrived that is not copied, in nanoseconds since the Unix epoch; None if unknown.

        Reads the file itself: the shipper's thread may hang.
        """
        position = max(self.shipped, self.committed)
        now = time.monotonic()
        if self._oldest is not None and (self._oldest[1] == position or now < self._oldest[0] + _AGE_KEPT):
            return self._oldest[2]
        try:
            with contextlib.closing(journal_file.connect_read_only(self.journal.path)) as connection:
                row = connection.execute(
                    "SELECT position, end, data FROM frame_group WHERE position >= ? ORDER BY position LIMIT 1",
                    (position,),
                ).fetchone()
            if row is None:
                return None
            arrived = journal_file.decode(row[2], position=row[0], end=row[1]).received_at[0]
        except (sqlite3.Error, OSError, JournalError, UnreadableError):
            return None
        self._oldest = (now, position, arrived)
        return arrived

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        path: Path = self.journal.path
        found = journal_file.identity(path)
        if self._connection is not None and found == self._identity:
            return self._connection
        # The journal's owner has replaced the file.
        self.close()
        connection = journal_file.connect_read_only(path)
        connection.isolation_level = None
        self._connection, self._identity = connection, found
        return connection


def _groups(connection: sqlite3.Connection, begin: int, end: int) -> list[Group]:
    groups: list[Group] = []
    query = sql_files.read("queries/journal/groups_to_copy.sql")
    with contextlib.closing(connection.execute(query, {"begin": begin, "end": end})) as found:
        for row in found:
            group = Group(*row)
            # A hole: an owner has skipped positions. Or it is enough.
            if groups and (group.position != groups[-1].end or group.end > groups[0].position + BUNDLE_BYTES):
                break
            groups.append(group)
    return groups
