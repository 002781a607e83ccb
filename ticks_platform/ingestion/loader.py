"""The loader: takes frames from the journal and commits them; rows, ledger and checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ticks_platform.errors import RetryableError
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change
from ticks_platform.ingestion import channels
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.changes import Changes
from ticks_platform.ingestion.gaps import coverage, gaps
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.handover import handover, received_twice
from ticks_platform.ingestion.handover.handover import Source
from ticks_platform.ingestion.handover.received_twice import Found, Overlap
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.decode import Decode, DecodedBatch, DecodeMany, Stored, decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory, stored_until
from ticks_platform.ingestion.rows.store import PreparedBatch, Store, prepare
from ticks_platform.ingestion.rows.tables import TABLES, Rows
from ticks_platform.ingestion.transactions import FAILURES, AbandonedError, Transactions
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
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


LONGEST_LAG = 10.0
"""Seconds that a successor waits for the last events of its predecessor to arrive on its own connection."""

LAG_OF_STRANGERS = 2.0
"""The same where nothing at all has arrived on both: then the provider seems to send each of them something else."""

_LOOK_INTERVAL = 0.25
"""Seconds between looks at whether they have."""
REOPEN_AFTER = 10.0
"""Seconds since the last heartbeat after which somebody may have taken this owner for dead."""


class CheckpointError(RetryableError):
    """The database's checkpoint stands where it cannot: somebody else has moved it."""


class _Upcoming(NamedTuple):
    """A batch on its way to the database, and the events that were left out of it since they are stored already."""

    prepared: PreparedBatch
    left_out: list[Rows]


class Loader:
    """Commits one feed's journal under one lease, for as long as it takes.

    Trouble with the database is retried for ever, with capped jittered back-off; bad events are set aside with their
    reason. While one batch is on its way to the database, the next one is decoded and encoded.
    """

    def __init__(
        self,
        *,
        database: Database,
        lease: Lease,
        decode: Decode,
        journal: Journal,
        metrics: Metrics,
        decode_many: DecodeMany | None = None,
        silence: SilenceDetector | None = None,
        coverage: Coverage | None = None,
        before: Sequence[Source] = (),
    ) -> None:
        """`decode_many` does for ordinary frames what `decode` does, but faster. `silence` is told their symbols.
        `coverage` is told of all changes, and stored with them.
        `before` are journals to load before `journal`, to which nothing is appended any more; each is closed when it is
        drained.
        """
        self._database = database
        self._lease = lease
        self._decode = decode
        self._decode_many = decode_many
        self._journal = journal
        self._sources = (*before, Source(lease, journal))
        self._overlap: Overlap | None = None
        self.metrics = metrics
        self._changes = Changes()
        self._transactions = Transactions(
            database,
            self._application_name(),
            feed=lease.feed,
            on_connect=self._connected,
            on_commit=self._committed,
            on_failure=self._failed,
        )
        self._store = Store(lease)
        self._memory = TradeMemory()
        self._silence = silence
        self._coverage = coverage
        self._gaps_may_have_changed = False
        self._gaps_at = 0.0
        self._held_at = 0.0
        self._beat_at = 0.0
        self._linger = LONGEST_LINGER
        self.wanted = True
        """Whether the feed is switched on, as of the last transaction."""

    @property
    def trouble(self) -> str | None:
        """What keeps the loader from committing now, or None."""
        return self._transactions.trouble

    def record(self, change: Change) -> None:
        """Keep a change of the connection's state, to be written with the next transaction. Safe from any thread."""
        self._changes.record(change)
        if self._coverage is not None:
            self._coverage.handle(change, switched_off=not self.wanted)

    def abandon(self) -> None:
        """Stop retrying, and leave what is not committed in the journal."""
        self._transactions.abandon()

    def run(self) -> None:
        """Load until the journal is closed and drained. Raises LeaseLostError when another owner took the feed over."""
        with (
            contextlib.suppress(AbandonedError),
            contextlib.closing(self),
            ThreadPoolExecutor(1, thread_name_prefix=f"decode-{self._lease.feed}") as preparing,
        ):
            self._transactions.until_done(self._begin)
            if self._coverage is not None:
                self._coverage.adopted()
            for source in self._sources:
                self._turn_to(source)
                self._load(preparing)
                if self._transactions.abandoned:
                    break
                if source is not self._sources[-1]:
                    source.journal.close()
            self._transactions.until_done(self._release)
            self._update_gaps(None)

    def _turn_to(self, source: Source) -> None:
        """Go on with a journal. Of one that a successor began, it is decided first what is stored already."""
        self._lease, self._journal = source
        self._store = Store(self._lease)
        found = self._transactions.until_done(lambda cursor: received_twice.look(cursor, self._journal.journal_id))
        self._overlap = self._settle(found) if isinstance(found, received_twice.Unsettled) else found

    def _settle(self, unsettled: received_twice.Unsettled) -> Overlap:
        """Decide it when all that the predecessor received last has arrived here too, or is late beyond all measure."""
        began = time.monotonic()
        while True:
            looked_at = time.monotonic()
            found = self._transactions.until_done(lambda cursor: self._find(cursor, unsettled))
            patience = LONGEST_LAG if len(found.overlap.positions) else LAG_OF_STRANGERS
            if not found.missing or time.monotonic() >= began + patience:
                break
            # Not so often that the looking itself keeps them from arriving.
            self._transactions.wait(max(_LOOK_INTERVAL, 2 * (time.monotonic() - looked_at)))
        self._transactions.until_done(lambda cursor: self._write_down(cursor, unsettled, found.overlap))
        level = logging.WARNING if found.missing else logging.INFO
        logger.log(
            level,
            "feed %s: %d events that had been received twice are left out of %s; %d that its predecessor received last "
            "have not arrived there",
            self._lease.feed,
            len(found.overlap.positions),
            self._journal.path,
            found.missing,
        )
        return found.overlap

    def _find(self, cursor: Cursor, unsettled: received_twice.Unsettled) -> Found:
        self._hold(cursor)
        return received_twice.find(cursor, unsettled, self._journal.peek(), self._decode)

    def _write_down(self, cursor: Cursor, unsettled: received_twice.Unsettled, decided: Overlap) -> None:
        self._hold(cursor)
        received_twice.settle(cursor, unsettled, decided)

    def _load(self, preparing: ThreadPoolExecutor) -> None:
        upcoming = preparing.submit(self._prepare)
        while True:
            batch = upcoming.result()
            finished = batch is None and self._journal.drained
            if not finished:
                upcoming = preparing.submit(self._prepare)
            if batch is not None:
                self._commit(*batch)
            elif time.monotonic() >= self._beat_at or (self._coverage is not None and self._coverage.waiting):
                # A change of coverage is stored at once: lost in a crash, it makes a gap look longer than it was.
                self._transactions.until_done(self._hold)
            self._update_gaps(batch)
            if finished or self._transactions.abandoned:
                return

    def close_session(self) -> None:
        """After a planned hand-over, once: write the end of the connection's life, and tell the successor of it."""

        def work(cursor: Cursor) -> None:
            # The channels are the successor's by now.
            self._store_changes(cursor, with_channels=False)
            handover.note_closed(cursor, self._lease)

        try:
            self._transactions.once(work)
        except FAILURES as error:
            logger.warning("feed %s: its successor is not told of the end: %s", self._lease.feed, error)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection to the database; it is opened again when it is needed."""
        self._transactions.close()

    def _prepare(self) -> _Upcoming | None:
        groups = self._journal.take(max_bytes=MAX_BATCH_BYTES, linger=self._linger, wait=HEARTBEAT_INTERVAL / 4)
        if not groups:
            return None
        batch = decode_groups(groups, self._decode, self._decode_many)
        if self._silence is not None:
            until = groups[-1].received_at[-1] / 1e9
            for _, rows in batch.tables:
                self._silence.record(rows.column("symbol"), until=until, arrivals=rows.received_at.tolist)
            self._silence.mark_decoded(until)
        left_out: list[Rows] = []
        if self._overlap is not None:
            batch, left_out = self._overlap.leave_out(batch)
            if self._overlap.is_behind(batch.end):
                self._overlap = None
        return _Upcoming(prepare(batch, self._memory, self._lease), left_out)

    def _commit(self, prepared: PreparedBatch, left_out: Sequence[Rows] = ()) -> None:
        batch = prepared.batch
        attempt: Stored | None = None

        def store(cursor: Cursor) -> Stored | None:
            nonlocal attempt
            self._hold(cursor)
            # After a lost connection it is not known whether the commit came through; the checkpoint knows.
            cursor.execute(
                sql_files.read("queries/checkpoint/advance.sql"),
                {"end": batch.end, "frames": batch.frames, "journal": self._lease.journal_number},
            )
            if not cursor.rowcount:
                self._check_is_committed(cursor, batch)
                return attempt
            stored = self._store.store(cursor, prepared)
            entries = ledger.entries(
                batch,
                loaded=stored.loaded_rows,
                replaced=stored.replaced,
                duplicate=[*stored.duplicate, *left_out],
                rejected=batch.rejected + stored.refused,
            )
            ledger.add(cursor, self._lease.feed, entries)
            earlier = [entry for entry in entries if entry.epoch != self._lease.epoch]
            last_data = [(entry.epoch, entry.connection, entry.last_data_at) for entry in earlier]
            coverage.prolong(cursor, self._lease.feed, last_data)
            for table in TABLES:
                parts = [rows for each, rows in stored.loaded if each is table]
                hours = ledger.hours(parts, time=table.time)
                ledger.add_hours(cursor, self._lease.feed, table.name, hours)
            attempt = stored
            return stored

        began = time.monotonic()
        stored = self._transactions.until_done(store)
        took = time.monotonic() - began
        self._linger = min(LONGEST_LINGER, max(SHORTEST_LINGER, LINGER_PER_COMMIT * took))
        self._journal.trim(batch.end)
        if stored is not None:
            self.metrics.committed(batch, stored, at=time.time_ns())
            self.metrics.duplicate += sum(len(rows.events) for rows in left_out)

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

    def _begin(self, cursor: Cursor) -> None:
        leases.hold(cursor, self._lease)
        channels.forget(cursor, self._lease.feed)
        if self._coverage is not None:
            self._coverage.adopt(cursor, self._lease)
        coverage.close_abandoned(cursor, self._lease.feed, until_epoch=self._lease.epoch - 1)
        self._memory.horizon = stored_until(cursor, self._lease.feed)

    def _hold(self, cursor: Cursor) -> None:
        now = time.monotonic()
        self.wanted = leases.hold(cursor, self._lease)
        if now - self._held_at > REOPEN_AFTER:
            coverage.reopen(cursor, self._lease)
        self._store_changes(cursor)
        self._held_at = now

    def _release(self, cursor: Cursor) -> None:
        self._store_changes(cursor)
        # What no change has ended: its connection died of something that is not in its states.
        coverage.close_abandoned(cursor, self._lease.feed, until_epoch=self._lease.epoch, ended_by="stopped")
        leases.release(cursor, self._lease)

    def _store_changes(self, cursor: Cursor, *, with_channels: bool = True) -> None:
        self._changes.store(cursor, self._lease, with_channels=with_channels)
        if self._coverage is not None and self._coverage.waiting:
            self._coverage.store(cursor, self._lease)
            self._gaps_may_have_changed = True

    def _update_gaps(self, upcoming: _Upcoming | None) -> None:
        """Bring the gaps up to date with the coverage, once what earlier owners left in the journals is loaded.

        Ticks come first: what fails is tried again some seconds later, or by whoever looks at the gaps next.
        """
        is_last = self._journal is self._sources[-1].journal
        if not self._gaps_may_have_changed or not is_last or time.monotonic() < self._gaps_at:
            return
        if upcoming and any(group.epoch != self._lease.epoch for group in upcoming.prepared.batch.groups):
            return
        try:
            self._transactions.once(
                lambda cursor: gaps.update(cursor, self._lease.feed, now=datetime.now(timezone.utc))
            )
        except FAILURES as error:
            self.close()
            self._gaps_at = time.monotonic() + HEARTBEAT_INTERVAL
            logger.warning("feed %s: cannot compute its gaps, will retry: %s", self._lease.feed, str(error).strip())
        else:
            self._gaps_may_have_changed = False

    def _connected(self) -> None:
        self._store = Store(self._lease)

    def _committed(self) -> None:
        self._changes.stored()
        if self._coverage is not None:
            self._coverage.stored()
        self._beat_at = time.monotonic() + HEARTBEAT_INTERVAL

    def _failed(self, error: Exception) -> None:
        """Beat if it is time, after work that failed: a database may refuse the ticks for hours and still take this.

        Without it the supervisor would take this owner for dead, and its successor would fare no better.
        """
        self._held_at = 0.0
        self.metrics.retried()
        if isinstance(error, DatabaseUnavailableError):
            return
        if time.monotonic() < self._beat_at or self._transactions.abandoned:
            return
        try:
            self._transactions.once(self._hold)
        except FAILURES:
            self.close()

    def _application_name(self) -> str:
        return leases.application_name(self._lease.feed)
