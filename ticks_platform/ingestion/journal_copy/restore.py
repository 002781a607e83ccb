"""Reads a journal back from the stream, into a file as its owner had it.

Each group must begin where the one before ended, and the last one must end where its owner was when it was shut out. A
replica whose disk has lost a message leaves it out without a word. Whichever server is asked, any replica may answer:
so the rest is asked for again and again, until one has it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.file import UnreadableError
from ticks_platform.ingestion.journal_copy import messages
from ticks_platform.ingestion.journal_copy.connection import (
    MISSES,
    MISSING_FOR,
    Answer,
    CopyError,
    CopyIncompleteError,
    CopyRefusedError,
    NatsConnection,
)
from ticks_platform.ingestion.journal_copy.messages import Bundle, Extent
from ticks_platform.timescale import sql_files

logger = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds without a new message after which the servers count as away. A new leader takes up to eight."""

_PAUSE = 0.2
"""Seconds between attempts."""


class _MissingError(Exception):
    """The server leaves something out; the message says what."""


class Known(NamedTuple):
    """A journal of another machine, as the database knows it."""

    journal_id: str
    position: int
    """Its checkpoint."""
    frames: int
    """Frames before that."""

    def since(self, position: int) -> Known:
        """What comes from this position on, as a journal of its own, which always has the same id.

        It is what a disk has no more that was restored from an older state: its journal has other frames there.
        """
        return Known(str(uuid.uuid5(uuid.UUID(self.journal_id), f"since {position}")), position, 0)


class Reading:
    """One journal of a stream, from its checkpoint to its end."""

    def __init__(
        self, settings: JetStreamSettings, feed: str, known: Known, end: int, *, stopping: threading.Event
    ) -> None:
        """`end` is up to where it is copied."""
        self._settings = settings
        self._stream = settings.stream_of(feed)
        self._subject = messages.journal_subject(self._stream, known.journal_id)
        self._feed = feed
        self._stopping = stopping
        self._end = end
        self._sequence = 1
        self._parts: list[Answer] = []
        self.position = known.position
        """Up to where it is read."""
        self.extent = Extent(0, 0)
        """How far it went, as its owner last told."""
        self.epoch: int | None = None
        """The ownership under which the last frames were received; None before any are read."""

    def bundles(self) -> Iterator[Bundle]:
        """The bundles up to the end. Raises CopyIncompleteError if no server has a part of it, and CopyError."""
        servers = deque(self._settings.servers)
        misses, answered = 0, set[str]()
        last, missed = "", ""
        progress_at = time.monotonic()
        is_whole = False
        while not is_whole:
            if self._stopping.is_set():
                raise CopyError("the feed is stopped")
            try:
                connection = NatsConnection(
                    self._settings, servers[0], name=f"read {self._feed}", stopping=self._stopping
                )
                with contextlib.closing(connection):
                    answered.add(servers[0])
                    for bundle in self._read(connection):
                        misses = 0
                        progress_at = time.monotonic()
                        yield bundle
                is_whole = True
            except _MissingError as missing:
                if not misses:
                    logger.warning("feed %s: a replica is incomplete: %s; asking again", self._feed, missing)
                misses, missed = misses + 1, str(missing)
                self._parts.clear()
            except CopyRefusedError as error:
                last = str(error)
            except CopyError as error:
                last = str(error)
            lasts = time.monotonic() - progress_at
            if misses >= MISSES and lasts > MISSING_FOR and len(answered) == len(servers):
                raise CopyIncompleteError(f"no server has it: {missed}")
            if lasts > PATIENCE:
                raise CopyError(last or f"not every server answers, and of the others {missed}")
            servers.rotate(-1)
            if not is_whole:
                self._stopping.wait(_PAUSE)

    def _read(self, connection: NatsConnection) -> Iterator[Bundle]:
        """What this server has of the rest. Raises _MissingError and CopyError."""
        while True:
            found = connection.read(self._stream, self._subject, self._sequence)
            for answer in found:
                bundle = self._bundle(answer)
                if bundle is not None:
                    yield bundle
                    # What comes next is read from here on, of whatever server.
                    self._sequence = messages.number(answer.headers, "Nats-Sequence") + 1
            if not found:
                if self.position < self._end:
                    raise _MissingError(f"the journal ends at position {self.position}, not {self._end}")
                return

    def _bundle(self, answer: Answer) -> Bundle | None:
        """The groups of a message that are not read yet; None if it is a part of one that others complete."""
        end, frames = (
            messages.number(answer.headers, name) for name in (messages.JOURNAL_END, messages.JOURNAL_FRAMES)
        )
        self.extent = max(self.extent, Extent(end, frames))
        this, of = messages.part(answer.headers)
        if this != len(self._parts) + 1:
            # An owner ended before it had published all parts of the one before.
            self._parts.clear()
        if this == len(self._parts) + 1:
            self._parts.append(answer)
        if this < of or len(self._parts) < of:
            return None
        payload = b"".join(part.data for part in self._parts)
        self._parts.clear()
        try:
            bundle = messages.decode_bundle(payload)
        except msgspec.MsgspecError as error:
            raise _MissingError(f"what it has at position {self.position} cannot be decoded: {error}") from error
        position = self.position
        # Also of a message with notes only: what it leaves out would not be looked for any more.
        begin = messages.number(answer.headers, messages.POSITION)
        if begin > position:
            raise _MissingError(f"positions {position} to {begin} are missing")
        groups, epoch = [], self.epoch
        for group in bundle.groups:
            if group.end <= position:
                continue
            if group.position != position:
                raise _MissingError(f"positions {position} to {group.position} are missing")
            try:
                contents = journal_file.decode(group.data, position=group.position, end=group.end)
            except UnreadableError as error:
                raise _MissingError(str(error)) from error
            position, epoch = group.end, contents.epoch
            groups.append(group)
        self.position, self.epoch = position, epoch
        return Bundle(bundle.notes, groups)


class Restored(NamedTuple):
    """A journal that was read back."""

    known: Known
    position: int
    """Up to where it was read."""
    extent: Extent
    epoch: int | None
    """The ownership under which its last frames were received; None if none were read."""
    problem: str | None
    """Why that is not all that was copied; None if it is."""


def restore(
    reading: Reading, known: Known, path: Path, *, feed: str, synthetic: bool, keep_alive: Callable[[], None]
) -> Restored:
    """Write the journal that is read into a file. `keep_alive` is called now and then.

    What cannot be read ends it, as `Restored.problem` says. Raises OSError and sqlite3.Error.
    """
    problem: str | None = None
    with contextlib.closing(journal_file.connect(path)) as connection:
        connection.executescript(sql_files.read("journal/journal.sql"))
        connection.execute(f"PRAGMA application_id = {journal_file.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {journal_file.VERSION}")
        with connection:
            connection.execute(
                "INSERT INTO journal VALUES (?, ?, ?, 0, ?, ?)",
                (feed, synthetic, known.journal_id, known.position, known.frames),
            )
        try:
            for bundle in reading.bundles():
                with connection:
                    connection.executemany("INSERT INTO frame_group VALUES (?, ?, ?, ?, ?)", bundle.groups)
                    connection.executemany(
                        "INSERT OR REPLACE INTO coverage_note (number, epoch, periods) VALUES (?, ?, ?)", bundle.notes
                    )
                # The log would take as much again.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                keep_alive()
        except (CopyError, CopyIncompleteError) as error:
            problem = str(error)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Restored(known, reading.position, reading.extent, reading.epoch, problem)


def remove(path: Path) -> None:
    """Remove a journal's files."""
    for file in path.parent.glob(f"{path.name}*"):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
    with contextlib.suppress(FileNotFoundError):
        path.with_suffix(".lock").unlink()


Error = (OSError, sqlite3.Error)
"""What the disk may do while a journal is restored."""
