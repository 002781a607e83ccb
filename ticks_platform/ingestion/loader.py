"""The loader: takes frames from the buffer and commits them, rows and checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

import psycopg2
from psycopg2.extras import execute_values

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connection import Change
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.batch import (
    COLUMNS,
    Decode,
    DecodedBatch,
    RejectedEvent,
    TickBatch,
    decode_frames,
    encode_ticks,
)
from ticks_platform.ingestion.buffer import FrameBuffer, PositionedFrame
from ticks_platform.ingestion.lease import Lease
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_BATCH_FRAMES = 20_000
"""Frames of one transaction at the most."""

LINGER = 0.1
"""Seconds that the first frame of a batch waits for company."""

HEARTBEAT_INTERVAL = 2.0
"""Seconds between heartbeats while there is nothing to load."""

_COPY = f"COPY stocks_real_time ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"

# Data exceptions and integrity violations are the fault of the rows; everything else is the fault of the circumstances.
_BAD_DATA_CLASSES = ("22", "23")


class _AbandonedError(Exception):
    """The loader was told to stop retrying."""


class Loader:
    """Commits one feed's frames under one lease, for as long as it takes.

    Trouble with the database is retried for ever, with capped jittered back-off; bad events are set aside with their
    reason. Counters are of this loader's life and are written by its thread only.
    """

    def __init__(self, *, database: Database, lease: Lease, decode: Decode, buffer: FrameBuffer) -> None:
        self._database = database
        self._lease = lease
        self._decode = decode
        self._buffer = buffer
        self._changes: deque[Change] = deque()
        self._stored_changes = 0
        self._connection: Connection | None = None
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._abandon = threading.Event()
        self._beat_at = 0.0
        self.wanted = True
        self.ticks = 0
        self.rejected = 0
        self.control = 0
        self.last_event_at: int | None = None
        """Event time of the latest tick that was committed, in nanoseconds since the Unix epoch."""
        self.last_lag_seconds: float | None = None
        """From arrival to commit, of the oldest tick of the last batch."""
        self.trouble: str | None = None
        """What keeps the loader from committing now, or None."""

    def record(self, change: Change) -> None:
        """Keep a change of the connection's state, to be written with the next transaction. Safe from any thread."""
        self._changes.append(change)

    def abandon(self) -> None:
        """Stop retrying, and leave what is not committed; for a stop that has run out of time."""
        self._abandon.set()

    def run(self) -> None:
        """Load until the buffer is closed and empty. Raises LeaseLostError when another owner took the feed over."""
        with contextlib.suppress(_AbandonedError), contextlib.closing(self):
            while not self._buffer.drained:
                frames = self._buffer.take(max_frames=MAX_BATCH_FRAMES, linger=LINGER, wait=HEARTBEAT_INTERVAL / 4)
                if frames:
                    self._commit(frames)
                elif time.monotonic() >= self._beat_at:
                    self._until_done(self._hold)
            self._until_done(self._release)

    def _commit(self, frames: Sequence[PositionedFrame]) -> None:
        batch = decode_frames(frames, self._decode)

        def store(cursor: Cursor) -> list[RejectedEvent]:
            self._hold(cursor)
            # After a lost connection it is not known whether the commit came through; the checkpoint knows.
            cursor.execute("SELECT position FROM ticks_platform.feed_checkpoint WHERE feed = %s", (self._lease.feed,))
            row = cursor.fetchone()
            if row is None or row[0] >= batch.end:
                return []
            refused = self._copy(cursor, batch, batch.ticks)
            self._store_rejected(cursor, batch.rejected + refused)
            self._store_checkpoint(cursor, batch, refused)
            return refused

        self._count(batch, refused=self._until_done(store))

    def _copy(self, cursor: Cursor, batch: DecodedBatch, ticks: TickBatch) -> list[RejectedEvent]:
        """Copy ticks of the batch in; those that cannot be rows come back, the others are stored."""
        if not ticks.ticks:
            return []
        cursor.execute("SAVEPOINT batch")
        try:
            # numpy refuses what its columns cannot hold, as the database refuses what its own cannot.
            rows = encode_ticks(ticks, feed=self._lease.feed, feed_number=self._lease.feed_number)
            cursor.copy_expert(_COPY, io.BytesIO(rows), size=1 << 20)
        except (psycopg2.Error, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, psycopg2.Error) and (error.pgcode or "")[:2] not in _BAD_DATA_CLASSES:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT batch")
            if len(ticks.ticks) == 1:
                reason = str(error).strip().partition("\n")[0]
                return [batch.reject(int(ticks.positions[0]), int(ticks.received_at[0]), reason)]
            middle = len(ticks.ticks) // 2
            first, second = ticks.part(0, middle), ticks.part(middle, len(ticks.ticks))
            return self._copy(cursor, batch, first) + self._copy(cursor, batch, second)
        cursor.execute("RELEASE SAVEPOINT batch")
        return []

    def _store_rejected(self, cursor: Cursor, rejected: Sequence[RejectedEvent]) -> None:
        if rejected:
            execute_values(
                cursor,
                "INSERT INTO ticks_platform.rejected_event (feed, position, received_at, reason, raw) VALUES %s",
                [
                    (self._lease.feed, event.position, _datetime(event.received_at), _text(event.reason), event.raw)
                    for event in rejected
                ],
            )

    def _store_checkpoint(self, cursor: Cursor, batch: DecodedBatch, refused: Sequence[RejectedEvent]) -> None:
        cursor.execute(
            """
            UPDATE ticks_platform.feed_checkpoint
            SET position = %s, ticks = ticks + %s, rejected = rejected + %s, committed_at = clock_timestamp()
            WHERE feed = %s
            """,
            (
                batch.end,
                len(batch.ticks.ticks) - len(refused),
                len(batch.rejected) + len(refused),
                self._lease.feed,
            ),
        )

    def _count(self, batch: DecodedBatch, *, refused: Sequence[RejectedEvent]) -> None:
        self.ticks += len(batch.ticks.ticks) - len(refused)
        self.rejected += len(batch.rejected) + len(refused)
        self.control += batch.control
        if batch.ticks.ticks:
            self.last_event_at = batch.ticks.ticks[-1].time
            self.last_lag_seconds = (time.time_ns() - int(batch.ticks.received_at[0])) / 1e9

    def _hold(self, cursor: Cursor) -> None:
        self.wanted = leases.hold(cursor, self._lease)
        self._store_changes(cursor)

    def _release(self, cursor: Cursor) -> None:
        self._store_changes(cursor)
        leases.release(cursor, self._lease)

    def _store_changes(self, cursor: Cursor) -> None:
        pending = list(self._changes)
        if pending:
            execute_values(
                cursor,
                "INSERT INTO ticks_platform.feed_session (feed, epoch, connection, at, state, detail) VALUES %s",
                [
                    (
                        self._lease.feed,
                        self._lease.epoch,
                        change.connection,
                        _datetime(change.at),
                        change.state.value,
                        _text(change.detail),
                    )
                    for change in pending
                ],
            )
        self._stored_changes = len(pending)

    def _until_done(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction, again and again until it is committed. Raises _AbandonedError."""
        while True:
            try:
                connection = self._connected()
                with connection, connection.cursor() as cursor:
                    result = work(cursor)
            except (psycopg2.Error, DatabaseUnavailableError) as error:
                self.close()
                delay = self._backoff.next_delay()
                self.trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning(
                    "feed %s cannot commit, trying again in %.1f s: %s", self._lease.feed, delay, self.trouble
                )
                if self._abandon.wait(delay):
                    raise _AbandonedError from error
                continue
            for _ in range(self._stored_changes):
                self._changes.popleft()
            self._stored_changes = 0
            self._beat_at = time.monotonic() + HEARTBEAT_INTERVAL
            self._backoff.reset()
            self.trouble = None
            return result

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.connect(f"ticks_platform ingestion {self._lease.feed}")
        return self._connection

    def close(self) -> None:
        """Close the connection to the database; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _text(value: str) -> str:
    # PostgreSQL's text cannot hold NUL, which a provider's message may.
    return value.replace("\0", "\\0")


def _datetime(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc)
