"""One feed's ingestion: a receiving thread, a journal, and a loading thread, started and stopped together."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg2

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connections import FeedConnections
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Frame, Unsubscribed
from ticks_platform.feeds.life import Change, State
from ticks_platform.feeds.liveness import Liveness
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal import Journal, JournalDamagedError, JournalUnavailableError
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Gauges, Metrics, serve
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that a stop gives the database to take what waits in the journal; the rest stays there for the next start."""


RECEIVER_TIMEOUT = 2.0
"""Seconds that a stop gives the connection to say goodbye and hand over its last frames; it takes one at the most."""


class Progress(NamedTuple):
    """What an ingestion has done since it began, and how it is now."""

    state: State
    frames: int
    loaded: int
    replaced: int
    """Bars that have replaced an earlier one of their window."""
    duplicate: int
    """Trades that the provider sent again."""
    rejected: int
    control: int
    connections: int
    retries: int
    waiting_bytes: int
    last_event_at: int | None
    trouble: str | None
    failed_channels: dict[str, str]
    silent_symbols: frozenset[str]
    """Symbols that stay silent although everything was tried."""


class Ingestion:
    """Streams a feed into the hypertable until stopped, switched off, refused or taken over.

    Use as a context manager; leaving it stops reading, commits what was received as far as the database takes it in
    STOP_TIMEOUT, and gives the feed up. What was not committed waits in the journal for the next ingestion of the feed.
    """

    def __init__(
        self,
        *,
        feed: FeedSettings,
        connector: Connector,
        database: Database,
        owner: str,
        journal_file: Path | None = None,
    ) -> None:
        """`owner` names this ingestion in the lease, for example a Dagster run id."""
        self.feed = feed
        self.metrics = Metrics()
        self._connector = connector
        self._database = database
        self._owner = owner
        self._journal_file = journal_file or journal_path(feed.name)
        self._journal: Journal | None = None
        self._loader: Loader | None = None
        self._epoch = 0
        self._liveness = Liveness(feed.calendars(), patience=feed.stale_after_seconds)
        self._connection = FeedConnections(
            connector,
            symbols=feed.symbol_names(),
            capacity=feed.symbols_per_connection,
            on_frames=self._receive,
            on_change=self._on_change,
            liveness=self._liveness,
        )
        self._changing = threading.Lock()
        self._failed_channels: dict[str, str] = {}
        self._trouble: str | None = None
        self._journal_trouble: str | None = None
        self._lost_frames = 0
        self._stopping = threading.Event()
        self._reading_ends = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"ingest-{feed.name}", daemon=True)

    def __enter__(self) -> Ingestion:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the ingestion to end by itself; returns whether it has.

        Raises what ended it: FeedRefusedError, LeaseLostError, MixedDatabaseError, JournalError, JournalDamagedError,
        JournalUnavailableError, or whatever else went wrong. It ends without an error when the feed was switched off.
        """
        ended = self._ended.wait(seconds)
        if ended and self._failure is not None:
            raise self._failure
        return ended

    def stop(self) -> None:
        """Stop reading, commit what waits in the journal if the database takes it soon, give the feed up."""
        self._stopping.set()
        self._end_reading()
        self._thread.join(STOP_TIMEOUT)
        if self._thread.is_alive() and self._loader is not None:
            self._loader.abandon()
            self._thread.join(STOP_TIMEOUT)
            logger.warning(
                "feed %s stopped while about %d bytes wait in its journal (%s); its next start loads them",
                self.feed.name,
                self.progress().waiting_bytes,
                self.progress().trouble,
            )

    def want(self, feed: FeedSettings) -> None:
        """Stream the symbols of these settings from now on, on the connections that stand."""
        self.feed = feed
        self._liveness.follow(feed.calendars())
        self._connection.want(feed.symbol_names())

    def progress(self) -> Progress:
        """Counts since the start, and the state of things now. Safe from any thread."""
        return Progress(
            state=self._connection.state,
            frames=self.metrics.frames,
            loaded=self.metrics.loaded,
            replaced=self.metrics.replaced,
            duplicate=self.metrics.duplicate,
            rejected=self.metrics.rejected,
            control=self.metrics.control,
            connections=self.metrics.connections,
            retries=self.metrics.retries,
            waiting_bytes=self._journal.bytes_waiting if self._journal else 0,
            last_event_at=self.metrics.last_event_at,
            trouble=self._current_trouble(),
            failed_channels=dict(self._failed_channels),
            silent_symbols=self._connection.unhealthy,
        )

    def _current_trouble(self) -> str | None:
        loading = self._loader.trouble if self._loader else self._trouble
        if self._journal_trouble is not None:
            return self._journal_trouble
        if self._journal is not None and self._journal.full:
            budget = self.feed.journal.max_megabytes
            return (
                f"the journal of feed '{self.feed.name}' is full ({budget} MB wait in {self._journal_file}): reading "
                "has stopped until the database takes some of it. "
                f"{loading or 'The database is slower than the feed'}. To hold out longer, raise "
                "journal.max_megabytes in feeds.yaml"
            )
        return loading

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                journal = self._journal = Journal(
                    self._journal_file,
                    feed=self.feed.name,
                    synthetic=self.feed.synthetic,
                    max_bytes=self.feed.journal.max_megabytes << 20,
                    sync_interval=self.feed.journal.sync_milliseconds / 1000,
                )
                stack.callback(journal.close)
                if self.feed.metrics_port is not None:
                    self._serve_metrics(self.feed.metrics_port, stack)
                lease = self._take_lease(journal)
                if lease is not None:
                    self._stream(journal, lease)
        except BaseException as error:  # noqa: BLE001  (handed to whoever waits)
            self._failure = error
        finally:
            self._ended.set()

    def _serve_metrics(self, port: int, stack: contextlib.ExitStack) -> None:
        try:
            stack.callback(serve(port, feed=self.feed.name, metrics=self.metrics, gauges=self._gauges))
        except OSError as error:
            # Ticks are worth more than their metrics; the port may be a paused predecessor's.
            logger.warning("feed %s: no metrics on port %d: %s", self.feed.name, port, error.strerror)

    def _take_lease(self, journal: Journal) -> Lease | None:
        """Take the feed over, waiting for the database for as long as it takes; None when stopped before that."""
        backoff = Backoff(base=0.2, cap=5.0)
        while not self._stopping.is_set():
            try:
                with self._database.transaction() as cursor:
                    lease = leases.take(
                        cursor,
                        feed=self.feed.name,
                        provider=self.feed.provider,
                        synthetic=self.feed.synthetic,
                        owner=self._owner,
                        journal_id=journal.journal_id,
                        journal_start=journal.start,
                        journal_frames=journal.frames_trimmed,
                    )
            except psycopg2.errors.LockNotAvailable:
                logger.warning("feed %s: its owner is stuck in a transaction, which is ended now", self.feed.name)
                self._evict()
                continue
            except (psycopg2.Error, DatabaseUnavailableError) as error:
                self._trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s cannot take its lease: %s", self.feed.name, self._trouble)
                self._stopping.wait(backoff.next_delay())
                continue
            self._trouble = None
            return lease
        return None

    def _evict(self) -> None:
        # Should this fail, taking the lease does so too, and tells why.
        with contextlib.suppress(psycopg2.Error, DatabaseUnavailableError), self._database.transaction() as cursor:
            leases.evict(cursor, self.feed.name)

    def _stream(self, journal: Journal, lease: Lease) -> None:
        journal.seek(lease.position, frames=lease.frames)
        self._epoch = lease.epoch
        loader = self._loader = Loader(
            database=self._database,
            lease=lease,
            decode=self._connector.decode,
            decode_many=self._connector.decode_many,
            journal=journal,
            metrics=self.metrics,
            liveness=self._liveness,
        )
        receiver = _Worker(self._connection.run, f"receive-{self.feed.name}")
        loading = _Worker(loader.run, f"load-{self.feed.name}")
        receiver.start()
        loading.start()
        while receiver.is_alive() and loading.is_alive() and loader.wanted and not self._stopping.is_set():
            self._stopping.wait(0.1)
        self._end_reading()
        journal.take_all()
        receiver.join(RECEIVER_TIMEOUT)
        journal.stop_appending()
        if receiver.failure is not None:
            # Nothing more will come: what the database does not take soon waits in the journal for the next start.
            loading.join(STOP_TIMEOUT)
            loader.abandon()
        loading.join()
        for failure in (loading.failure, receiver.failure):
            if failure is not None:
                raise failure
        if self._lost_frames:
            raise JournalUnavailableError(
                f"feed '{self.feed.name}' was stopped while its journal could not be written: {self._lost_frames} "
                f"frames that had been read are lost. {self._journal_trouble}"
            )

    def _end_reading(self) -> None:
        self._connection.stop()
        self._reading_ends.set()

    def _receive(self, frames: Sequence[Frame]) -> None:
        """Append to the journal, for as long as it takes; nothing is read meanwhile. On a stop, try just once more."""
        assert self._journal is not None
        backoff = Backoff(base=0.2, cap=5.0)
        while True:
            last_try = self._reading_ends.is_set()
            try:
                self._journal.append(frames, epoch=self._epoch)
            except JournalUnavailableError as error:
                if self._journal_trouble is None:
                    logger.warning("feed %s: %s; it is tried again", self.feed.name, error)
                self._journal_trouble = (
                    f"the journal of feed '{self.feed.name}' takes no frames: {error}. Reading has stopped until it "
                    "does; if its disk is full, free space there"
                )
                if last_try:
                    # Its caller goes on to take in what is left of the connection: the disk may have room again.
                    self._lose(frames)
                    return
                self._reading_ends.wait(backoff.next_delay())
            except JournalDamagedError:
                self._lose(frames)
                raise
            else:
                self._journal_trouble = None
                return

    def _lose(self, frames: Sequence[Frame]) -> None:
        """Say that frames which were read are in no journal, in the log and among the feed's sessions."""
        assert self._loader is not None
        with self._changing:
            self._lost_frames += len(frames)
        detail = f"{len(frames)} frames that were read are lost: the journal could not be written"
        logger.error("feed %s: %s", self.feed.name, detail)
        self._loader.record(Change(self._connection.state, time.time_ns(), frames[0].connection, detail))

    def _on_change(self, change: Change) -> None:
        assert self._loader is not None
        with self._changing:
            self.metrics.connections = max(self.metrics.connections, change.connection)
            if isinstance(change.notice, ChannelsFailed):
                self._failed_channels.update(change.notice.reasons)
            elif isinstance(change.notice, Acknowledged | Unsubscribed):
                for channel in change.notice.channels:
                    self._failed_channels.pop(channel, None)
        self._loader.record(change)

    def _gauges(self) -> Gauges:
        progress = self.progress()
        return Gauges(progress.waiting_bytes, connected=progress.state is State.STREAMING)


def journal_path(feed: str) -> Path:
    """Where a feed's journal is: in the state folder, one file a feed."""
    return state_dir() / "journal" / f"{feed}.sqlite3"


class _Worker(threading.Thread):
    """A thread that keeps what it died of."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  (raised again by the ingestion)
            self.failure = error
