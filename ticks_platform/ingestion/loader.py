"""The loader: takes frames from the journal and commits them; rows, ledger and checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psycopg2
from psycopg2.extras import execute_values

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connection import Change
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import ledger
from ticks_platform.ingestion.batch import (
    COLUMNS,
    Decode,
    DecodedBatch,
    RejectedEvent,
    TickBatch,
    decode_groups,
    encode_ticks,
)
from ticks_platform.ingestion.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.timescale.columnstore import DirectCompress
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_BATCH_BYTES = 6 << 20
"""Bytes of frames of one transaction, about: some 40,000 ticks, so that a batch is worth direct compression."""

SHORTEST_LINGER, LONGEST_LINGER = 0.01, 0.08
"""Seconds that the first frame of a batch waits for company; with the commit it has to stay below a quarter second."""

LINGER_PER_COMMIT = 4.0
"""How much longer that is than the last commit took: a fast database is asked often, a slow one has time to recover."""

HEARTBEAT_INTERVAL = 2.0
"""Seconds between heartbeats while there is nothing to load."""

_COPY = f"COPY stocks_real_time ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"

# Data exceptions and integrity violations are the fault of the rows; everything else is the fault of the circumstances.
_BAD_DATA_CLASSES = ("22", "23")


class CheckpointError(Exception):
    """The database's checkpoint stands where it cannot: somebody else has moved it."""


class _AbandonedError(Exception):
    """The loader was told to stop retrying."""


class _Prepared(NamedTuple):
    """A batch on its way to the database, encoded already unless a tick in it cannot be."""

    batch: DecodedBatch
    encoded: bytes | None


class _Stored(NamedTuple):
    """What became of a batch's ticks."""

    loaded: list[TickBatch]
    refused: list[RejectedEvent]


class Loader:
    """Commits one feed's journal under one lease, for as long as it takes.

    Trouble with the database is retried for ever, with capped jittered back-off; bad events are set aside with their
    reason. While one batch is on its way to the database, the next one is decoded and encoded.
    """

    def __init__(self, *, database: Database, lease: Lease, decode: Decode, journal: Journal, metrics: Metrics) -> None:
        self._database = database
        self._lease = lease
        self._decode = decode
        self._journal = journal
        self.metrics = metrics
        self._changes: deque[Change] = deque()
        self._stored_changes = 0
        self._connection: Connection | None = None
        self._direct_compress = DirectCompress()
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._abandon = threading.Event()
        self._beat_at = 0.0
        self._linger = LONGEST_LINGER
        self.wanted = True
        """Whether the feed is switched on, as of the last transaction."""
        self.trouble: str | None = None
        """What keeps the loader from committing now, or None."""

    def record(self, change: Change) -> None:
        """Keep a change of the connection's state, to be written with the next transaction. Safe from any thread."""
        self._changes.append(change)

    def abandon(self) -> None:
        """Stop retrying, and leave what is not committed in the journal."""
        self._abandon.set()

    def run(self) -> None:
        """Load until the journal is closed and drained. Raises LeaseLostError when another owner took the feed over."""
        with (
            contextlib.suppress(_AbandonedError),
            contextlib.closing(self),
            ThreadPoolExecutor(1, thread_name_prefix=f"decode-{self._lease.feed}") as preparing,
        ):
            upcoming = preparing.submit(self._prepare)
            while True:
                prepared = upcoming.result()
                finished = prepared is None and self._journal.drained
                if not finished:
                    upcoming = preparing.submit(self._prepare)
                if prepared is not None:
                    self._commit(prepared)
                elif time.monotonic() >= self._beat_at:
                    self._until_done(self._hold)
                if finished or self._abandon.is_set():
                    break
            self._until_done(self._release)

    def close(self) -> None:
        """Close the connection to the database; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _prepare(self) -> _Prepared | None:
        groups = self._journal.take(max_bytes=MAX_BATCH_BYTES, linger=self._linger, wait=HEARTBEAT_INTERVAL / 4)
        if not groups:
            return None
        batch = decode_groups(groups, self._decode)
        encoded = None
        with contextlib.suppress(OverflowError, TypeError, ValueError):
            encoded = self._encode(batch.ticks)
        return _Prepared(batch, encoded)

    def _encode(self, ticks: TickBatch) -> bytes:
        return encode_ticks(ticks, feed=self._lease.feed, journal_number=self._lease.journal_number)

    def _commit(self, prepared: _Prepared) -> None:
        batch = prepared.batch

        def store(cursor: Cursor) -> _Stored | None:
            self._hold(cursor)
            # After a lost connection it is not known whether the commit came through; the checkpoint knows.
            cursor.execute(
                """
                UPDATE ticks_platform.feed_checkpoint
                SET position = %(end)s, frames = frames + %(frames)s, committed_at = clock_timestamp()
                WHERE journal_number = %(journal)s AND position < %(end)s
                """,
                {"end": batch.end, "frames": batch.frames, "journal": self._lease.journal_number},
            )
            if not cursor.rowcount:
                self._check_is_committed(cursor, batch)
                return None
            stored = self._copy(cursor, prepared)
            rejected = batch.rejected + stored.refused
            self._store_rejected(cursor, rejected)
            entries = ledger.entries(batch, loaded=stored.loaded, rejected=rejected)
            ledger.add(cursor, self._lease.feed, entries)
            return stored

        began = time.monotonic()
        stored = self._until_done(store)
        took = time.monotonic() - began
        self._linger = min(LONGEST_LINGER, max(SHORTEST_LINGER, LINGER_PER_COMMIT * took))
        self._journal.trim(batch.end)
        self.metrics.committed(batch, refused=stored.refused if stored else (), at=time.time_ns())

    def _check_is_committed(self, cursor: Cursor, batch: DecodedBatch) -> None:
        """Batches end at different positions, so that only this very batch can have left the checkpoint at its end."""
        cursor.execute(
            "SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_number = %s",
            (self._lease.journal_number,),
        )
        row = cursor.fetchone()
        if row is None or row[0] != batch.end:
            raise CheckpointError(
                f"feed '{self._lease.feed}': the checkpoint of journal {self._lease.journal_number} is at "
                f"{row and row[0]}, where no batch of this loader ends ({batch.end}); its frames stay in the journal"
            )

    def _copy(self, cursor: Cursor, prepared: _Prepared) -> _Stored:
        """Copy the batch in; ticks that cannot be rows are found and come back, the others are stored."""
        batch = prepared.batch
        if not batch.ticks.ticks:
            return _Stored([], [])
        self._direct_compress.prepare(cursor, rows=len(batch.ticks.ticks), symbols=batch.symbols)
        if prepared.encoded is not None:
            cursor.execute("SAVEPOINT batch")
            try:
                self._copy_rows(cursor, prepared.encoded, len(batch.ticks.ticks))
            except psycopg2.Error as error:
                if not _is_bad_data(error):
                    raise
                cursor.execute("ROLLBACK TO SAVEPOINT batch")
            else:
                return _Stored([batch.ticks], [])
        loaded: list[TickBatch] = []
        refused: list[RejectedEvent] = []
        self._copy_parts(cursor, batch, batch.ticks, loaded, refused)
        return _Stored(loaded, refused)

    def _copy_parts(
        self,
        cursor: Cursor,
        batch: DecodedBatch,
        part: TickBatch,
        loaded: list[TickBatch],
        refused: list[RejectedEvent],
    ) -> None:
        """Copy a part of the batch that may hold a bad tick, halving it until the bad ones are found."""
        cursor.execute("SAVEPOINT part")
        try:
            # numpy refuses what its columns cannot hold, as the database refuses what its own cannot.
            self._copy_rows(cursor, self._encode(part), len(part.ticks))
        except (psycopg2.Error, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, psycopg2.Error) and not _is_bad_data(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT part")
            if len(part.ticks) == 1:
                reason = str(error).strip().partition("\n")[0]
                refused.append(batch.reject(int(part.positions[0]), int(part.received_at[0]), reason))
                return
            middle = len(part.ticks) // 2
            self._copy_parts(cursor, batch, part.part(0, middle), loaded, refused)
            self._copy_parts(cursor, batch, part.part(middle, len(part.ticks)), loaded, refused)
            return
        cursor.execute("RELEASE SAVEPOINT part")
        loaded.append(part)

    def _copy_rows(self, cursor: Cursor, encoded: bytes, rows: int) -> None:
        cursor.copy_expert(_COPY, io.BytesIO(encoded), size=1 << 20)
        if cursor.rowcount != rows:
            raise psycopg2.InternalError(f"the database took {cursor.rowcount} of {rows} rows of a COPY")

    def _store_rejected(self, cursor: Cursor, rejected: Sequence[RejectedEvent]) -> None:
        if rejected:
            execute_values(
                cursor,
                "INSERT INTO ticks_platform.rejected_event (feed, journal_number, position, received_at, reason, raw) "
                "VALUES %s",
                [
                    (
                        self._lease.feed,
                        self._lease.journal_number,
                        event.position,
                        _datetime(event.received_at),
                        _text(event.reason),
                        event.raw,
                    )
                    for event in rejected
                ],
            )

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
                self.metrics.retried()
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
            self._connection = self._database.connect(leases.application_name(self._lease.feed))
            self._direct_compress = DirectCompress()
        return self._connection


def _is_bad_data(error: psycopg2.Error) -> bool:
    return (error.pgcode or "")[:2] in _BAD_DATA_CLASSES


def _text(value: str) -> str:
    # PostgreSQL's text cannot hold NUL, which a provider's message may.
    return value.replace("\0", "\\0")


def _datetime(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc)
