"""The loader: takes frames from the journal and commits rows, ledger and checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ticks_platform.errors import RetryableError
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.arrival_clock import ArrivalClock
from ticks_platform.ingestion.aside import Aside
from ticks_platform.ingestion.decoding import Decoding
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.gaps.gaps import GapUpdates
from ticks_platform.ingestion.gaps.refused_times import KilledRefusals, RefusedTimes
from ticks_platform.ingestion.handover import handover, received_twice, returned
from ticks_platform.ingestion.handover.handover import Source
from ticks_platform.ingestion.handover.received_twice import ReceivedTwice, Uncompared
from ticks_platform.ingestion.heard_journals import Reporter
from ticks_platform.ingestion.journal.journal import FrameGroup, Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import Decode, DecodedBatch, DecodeMany, Stored
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.equal_trades import connection
from ticks_platform.ingestion.rows.store import NextBatch, PreparedBatch, Store, prepare
from ticks_platform.ingestion.rows.stored_trades import stored_until
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.ingestion.sources import Sources
from ticks_platform.ingestion.transactions import AbandonedError, GivenUpError, Transactions
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.failures import FAILURES, Meaning, is_too_much, meaning

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

MAX_BATCH_BYTES = 6 << 20
"""Bytes of frames per transaction, approximately: some 40,000 ticks, enough for direct compression to pay off."""

MIN_BATCH_BYTES = 64 << 10
"""Bytes of frames per transaction, at least, while larger ones are too much for the server's limits."""

AWAY_ATTEMPTS = 3
"""How often a batch is tried whole if each time the connection is lost while it is stored: it may be the reason."""

MIN_LINGER, MAX_LINGER = 0.01, 0.08
"""Seconds that the first frame of a batch waits for more; with the commit it must stay below a quarter of a second."""

LINGER_PER_COMMIT = 4.0
"""Ratio of the linger time to the duration of the last commit: a slow database gets larger batches."""

HEARTBEAT_INTERVAL = 2.0
"""Seconds between heartbeats while there is nothing to load."""

REOPEN_AFTER = 10.0
"""Seconds since the last heartbeat after which others may have closed this owner's coverage: less than DEAD_AFTER."""


class CheckpointError(RetryableError):
    """Another process has moved the checkpoint."""


class Loader:
    """Commits one feed's journal under one lease.

    Retries forever if the database fails, with capped, jittered backoff; rejects bad events with a reason. While one
    batch is committed, the next one is decoded and encoded.
    """

    _new_store = Store

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
        secondary: bool = False,
        asked: AskedSymbols | None = None,
        clock: ArrivalClock | None = None,
    ) -> None:
        """`decode_many` is a faster `decode` for ordinary frames. `silence` is told the symbols that were received.
        `coverage` is told each change, and stored with it. `before` are journals to load before `journal`; nothing is
        appended to them, and each is closed when it is loaded. `secondary` tells that the feed's ticks make no candles.
        Events of symbols that are not `asked` for are rejected. `clock` is told what events tell of it.
        """
        self._database = database
        self._lease = lease
        self._decode = decode
        self._decoding = Decoding(decode, decode_many, clock=clock, silence=silence, secondary=secondary, asked=asked)
        self._journal = journal
        self._received_twice: ReceivedTwice | None = None
        self.metrics = metrics
        # Without coverage nothing is received: the journal is a copy, or a repair's.
        self._aside = Aside(lease.feed, coverage, clock, asked, None if coverage is None else Reporter(journal))
        self.sources = Sources(before, Source(lease, journal), on_late=self._aside.add_notes)
        self._killed = KilledRefusals()
        self._refused = None if coverage is None else RefusedTimes(coverage, lease.epoch)
        self._transactions = Transactions(
            database,
            leases.application_name(lease.feed),
            feed=lease.feed,
            on_connect=self._connected,
            on_commit=self._committed,
            on_failure=self._failed,
        )
        self._store = self._new_store(lease)
        self._memory = TradeMemory()
        self._coverage = coverage
        self._gaps = GapUpdates(self._transactions, lease.feed, self._decoding.now)
        self._renewed_at = self._heartbeat_at = 0.0
        self._linger = MAX_LINGER
        self._batch_bytes = MAX_BATCH_BYTES
        self.renewed = leases.Renewed(enabled=True, reloaded_until=0, is_followed=False)
        """What the last transaction has learned of the feed."""

    @property
    def trouble(self) -> str | None:
        """Why the loader cannot commit now, or what of that beside the events fails; or None."""
        return self._transactions.trouble or self._aside.trouble

    def record(self, change: Change) -> None:
        """Record a change of a connection's state; the next transaction stores it. Safe from any thread."""
        self._aside.changes.record(change)
        if self._coverage is not None:
            self._coverage.handle(change, switched_off=not self.renewed.enabled)

    def hurry(self) -> None:
        """Try at once what waits to be tried again, and the next heartbeat: the feed stops. Safe from any thread."""
        self._heartbeat_at = 0.0
        self._transactions.hurry()

    def abandon(self) -> None:
        """Stop retrying, and leave uncommitted frames in the journal. Safe from any thread."""
        self._transactions.abandon()

    def run(self) -> None:
        """Load until nothing more is appended and everything is loaded.

        Raises LeaseLostError if another owner took the feed over.
        """
        with (
            contextlib.suppress(AbandonedError),
            contextlib.closing(self),
            self._transactions.watch,
            ThreadPoolExecutor(1, thread_name_prefix=f"decode-{self._lease.feed}") as preparing,
        ):
            self._transactions.until_committed(self._begin)
            for source in self.sources:
                self._open(source)
                self._load(preparing)
                if self._transactions.abandoned:
                    break
            self._transactions.until_committed(self._release)
            self._update_gaps(None)

    def close_session(self) -> None:
        """After a planned hand-over: store the last changes of the connections, and tell the successor that it ended.

        Tries once only.
        """

        def work(cursor: Cursor) -> None:
            # The channels belong to the successor already.
            self._aside.store(cursor, self._lease, with_channels=False)
            handover.record_closed(cursor, self._lease)

        try:
            self._transactions.once(work)
        except FAILURES as error:
            logger.warning("feed %s: cannot tell the successor that this run ended: %s", self._lease.feed, error)
        finally:
            self.close()

    def close(self) -> None:
        """Close the database connection; it is opened again if needed."""
        self._transactions.close()

    # From the journal to the database.

    def _open(self, source: Source) -> None:
        """Continue with a journal; if it is a successor's, first find the events that its predecessor has stored."""
        self._lease, self._journal = source
        self._store = self._new_store(self._lease)
        found = self._transactions.until_committed(lambda c: received_twice.lookup(c, source.journal.journal_id))
        if isinstance(found, Uncompared):
            back = returned.comparing(*source, self._decode)
            found = received_twice.find(self._transactions, self._renew_lease, found, self._journal, self._decode, back)
        self._received_twice = found

    def _load(self, preparing: ThreadPoolExecutor) -> None:
        """Load the current journal until it is drained, or, if it is the own one, until another one is found late."""
        upcoming = preparing.submit(self._prepare)
        while True:
            batch = upcoming.result()
            finished = (batch is None and self._journal.drained) or self.sources.interrupt(self._journal)
            if not finished:
                upcoming = preparing.submit(self._prepare)
            if batch is not None:
                self.sources.own.journal.recent.learn(batch.prepared.numbers, any_rows=bool(batch.batch.tables))
                self._commit_or_halve(batch)
            elif boottime() >= self._heartbeat_at or self._aside.waiting:
                # A change of coverage is stored at once: if a crash loses it, a gap looks longer than it was.
                self._transactions.until_committed(self._renew_lease)
            self._update_gaps(batch)
            if finished or self._transactions.abandoned:
                return

    def _prepare(self) -> NextBatch | None:
        groups = self._journal.take(max_bytes=self._batch_bytes, linger=self._linger, wait=HEARTBEAT_INTERVAL / 4)
        if not groups:
            return None
        try:
            return self._prepared(groups)
        except MemoryError:
            if len(groups) == 1:
                raise
            self._batch_bytes = max(1, groups[len(groups) // 2].position - groups[0].position)
            self._journal.take_again(groups[0].position)
            return None

    def _prepared(self, groups: Sequence[FrameGroup]) -> NextBatch:
        batch = self._decoding.decode(groups, self._more)
        left_out: list[Rows] = []
        if self._received_twice is not None:
            batch, left_out = self._received_twice.remove_from(batch)
            if self._received_twice.all_before(batch.end):
                self._received_twice = None
        return NextBatch(prepare(batch, self._memory, self._lease, self._delivery), left_out)

    def _more(self) -> list[FrameGroup] | None:
        if self._journal.drained or self._transactions.abandoned:
            return None
        return self._journal.take(max_bytes=self._batch_bytes, linger=MAX_LINGER, wait=HEARTBEAT_INTERVAL / 4)

    def _commit_or_halve(self, upcoming: NextBatch) -> None:
        """Commit a batch; if it cannot be stored at once, its halves, each by itself."""
        waiting = [upcoming]
        while waiting:
            batch = waiting.pop()
            try:
                self._commit(batch.prepared, batch.left_out)
            except GivenUpError as error:
                if is_too_much(error.__cause__ or error):
                    self._batch_bytes = max(MIN_BATCH_BYTES, self._batch_bytes // 2)
                logger.info(
                    "feed %s: committing a batch of %d groups in halves", self._lease.feed, len(batch.batch.groups)
                )
                waiting.extend(reversed(batch.halves(self._lease)))
            else:
                self._batch_bytes = min(MAX_BATCH_BYTES, self._batch_bytes + self._batch_bytes // 8)

    def _commit(self, prepared: PreparedBatch, left_out: Sequence[Rows] = ()) -> None:
        """Commit a batch. Raises GivenUpError if it is not committed, and its halves may be."""
        batch = prepared.batch
        attempt: Stored | None = None
        is_stored: bool | None = None
        """Of the last attempt: whether all was stored before the commit; None if it is not known to be uncommitted."""

        def gives_up(error: BaseException, failures: int) -> bool:
            self._store.attempt = failures + 1
            if len(batch.groups) == 1 or is_stored is None:
                return False
            if meaning(error) is Meaning.AWAY:
                return not is_stored and failures >= AWAY_ATTEMPTS
            return True

        def store(cursor: Cursor) -> Stored | None:
            nonlocal attempt, is_stored
            is_stored = None
            self._renew_lease(cursor)
            # If the connection was lost during a commit, the checkpoint tells whether the commit succeeded.
            cursor.execute(
                sql_files.read("queries/checkpoint/advance.sql"),
                {"end": batch.end, "frames": batch.frames, "journal": self._lease.journal_number},
            )
            if not cursor.rowcount:
                self._check_is_committed(cursor, batch)
                return attempt
            is_stored = False
            stored = self._store.store(cursor, prepared.looked_up_until(self._memory.reloaded_until))
            entries = ledger.entries(
                batch,
                loaded=stored.loaded_rows,
                replaced=stored.replaced,
                duplicate=[*stored.duplicate, *left_out],
                rejected=batch.rejected + stored.refused,
            )
            ledger.add(cursor, self._lease.feed, entries)
            refused = self._killed.find(batch, batch.rejected + stored.refused, epoch=self._lease.epoch)
            self._aside.extend_killed(cursor, self._lease, batch.groups, entries, refused)
            self._add_stored(cursor, stored)
            attempt = stored
            is_stored = True
            return stored

        started_at = boottime()
        self._store.attempt = 1
        stored = self._transactions.until_committed(store, gives_up=gives_up)
        self._linger = min(MAX_LINGER, max(MIN_LINGER, LINGER_PER_COMMIT * (boottime() - started_at)))
        self._journal.trim(batch.end)
        if stored is not None:
            self.metrics.committed(batch, stored, at=self._decoding.now())
            self.metrics.duplicate += sum(len(rows.events) for rows in left_out)
            if self._refused is not None:
                self._refused.committed(batch, batch.rejected + stored.refused)

    def _add_stored(self, cursor: Cursor, stored: Stored) -> None:
        ledger.add_stored(cursor, self._lease, stored)

    def _check_is_committed(self, cursor: Cursor, batch: DecodedBatch) -> None:
        """Check that the checkpoint is at the batch's end, where only the commit of this batch can have put it."""
        query = "SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_number = %s"
        cursor.execute(query, (self._lease.journal_number,))
        row = cursor.fetchone()
        if row is None or row[0] != batch.end:
            raise CheckpointError(
                f"feed '{self._lease.feed}': another process moved the checkpoint of journal "
                f"{self._lease.journal_number} to {row and row[0]} (expected {batch.end}); "
                "its frames stay in the journal"
            )

    # The lease, and what is stored with each heartbeat.

    def _begin(self, cursor: Cursor) -> None:
        self.renewed = leases.renew(cursor, self._lease)
        self._memory.reloaded_until = self.renewed.reloaded_until
        self._aside.begin(cursor, self._lease)
        self._memory.horizon = stored_until(cursor, self._lease.feed)

    def _renew_lease(self, cursor: Cursor) -> None:
        now = boottime()
        self._killed.begin()
        self.renewed = leases.renew(cursor, self._lease)
        self._memory.reloaded_until = self.renewed.reloaded_until
        if now - self._renewed_at > REOPEN_AFTER:
            self._aside.reopen()
        self._aside.store(cursor, self._lease)
        self._renewed_at = now

    def _release(self, cursor: Cursor) -> None:
        # A successor fences the journal: this run may learn of a planned hand-over by that, and not by its lease.
        leases.check_handed_over(cursor, self._lease)
        self._aside.store(cursor, self._lease)
        self._aside.end(cursor, self._lease)
        leases.release(cursor, self._lease)

    def _update_gaps(self, upcoming: NextBatch | None) -> None:
        """Recompute the gaps if coverage changed, after the frames of earlier owners are loaded."""
        if not self._aside.changed or self._journal is not self.sources.own.journal:
            return
        if upcoming and any(group.epoch != self._lease.epoch for group in upcoming.batch.groups):
            return
        self._aside.changed = not self._gaps.update()

    def _delivery(self, group: FrameGroup) -> Hashable:
        """What a group belongs to: the trades of one delivery are not sent again within it. Called once for each."""
        return connection(group)

    def _connected(self) -> None:
        attempt, self._store = self._store.attempt, self._new_store(self._lease)
        self._store.attempt = attempt

    def _committed(self) -> None:
        self._aside.committed()
        self._killed.committed()
        self._heartbeat_at = boottime() + HEARTBEAT_INTERVAL

    def _failed(self, error: BaseException) -> None:
        """Send a heartbeat if it is due: the database may accept it, although it refuses the ticks for hours.

        Otherwise the supervisor would presume this run dead, and its successor would fail in the same way.
        """
        self._renewed_at = 0.0
        self.metrics.retried()
        if isinstance(error, DatabaseUnavailableError):
            return
        if boottime() < self._heartbeat_at or self._transactions.abandoned:
            return
        try:
            self._transactions.once(self._renew_lease)
        except FAILURES:
            self.close()
