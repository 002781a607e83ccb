"""One feed's ingestion: a receiving thread, a journal, and a loading thread, started and stopped together."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Frame, Unsubscribed
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.pool import ConnectionPool
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes
from ticks_platform.ingestion.handover.handover import Handover, HandoverFailedError, Readiness
from ticks_platform.ingestion.handover.takeover import CLOSE_TIMEOUT, Ownership, StoppedError, Takeover
from ticks_platform.ingestion.journal.journal import Journal, JournalDamagedError, JournalUnavailableError
from ticks_platform.ingestion.journal.journal_pair import JournalPair, journal_pair, journal_path
from ticks_platform.ingestion.lease import HandedOverError
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Gauges, Metrics, MetricsPort
from ticks_platform.timescale.database import Database

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that a stop gives the database to take what waits in the journal; the rest stays there for the next start."""


RECEIVER_TIMEOUT = 2.0
"""Seconds that a stop gives the connection to say goodbye and hand over its last frames. The goodbye takes 0.7, what
is being read when it is asked for 0.2 at the most; the rest is for handing over."""


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
        follow: bool = False,
    ) -> None:
        """`owner` names this ingestion in the lease, for example a Dagster run id. `journal_file` is the first of the
        feed's two journals. With `follow`, an owner that is at work is followed as planned, as `feed.overlaps` allows;
        else, and where there is none, the feed is taken at once.
        """
        self.feed = feed
        self.metrics = Metrics()
        self._connector = connector
        self._database = database
        self._owner = owner
        self.successor: str | None = None
        """Who has followed as planned, when that is how it ended."""
        self._follow = follow
        self._journal_file = journal_file or journal_path(feed.name)
        self._journal: Journal | None = None
        self._takeover: Takeover | None = None
        self._loader: Loader | None = None
        self._receiver: _Worker | None = None
        self._port: MetricsPort | None = None
        self._readiness = Readiness()
        self._early: list[Change] = []
        self._epoch = 0
        self._silence = SilenceDetector(feed.calendars(), patience=feed.stale_after_seconds)
        self._coverage = Coverage(connector, feed, at=time.time_ns(), silence=self._silence)
        self._connection = ConnectionPool(
            connector,
            symbols=feed.symbol_names(),
            capacity=feed.symbols_per_connection,
            on_frames=self._receive,
            on_change=self._on_change,
            silence=self._silence,
            feed=feed.name,
        )
        self._changing = threading.Lock()
        self._failed_channels: dict[str, str] = {}
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

        Raises what ended it: FeedRefusedError, LeaseLostError, MixedDatabaseError, HandoverFailedError, JournalError,
        JournalDamagedError, JournalUnavailableError, or whatever else went wrong. It ends without an error when the
        feed was switched off, or handed over: then there is a `successor`.
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
        self._silence.set_calendars(feed.calendars())
        self._coverage.follow(feed, at=time.time_ns())
        self._connection.set_symbols(feed.symbol_names())

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
        at_work = self._loader or self._takeover
        loading = at_work.trouble if at_work else None
        if self._journal_trouble is not None:
            return self._journal_trouble
        if self._journal is not None and self._journal.full:
            budget = self.feed.journal.max_megabytes
            return (
                f"the journal of feed '{self.feed.name}' is full ({budget} MB wait in {self._journal.path}): reading "
                "has stopped until the database takes some of it. "
                f"{loading or 'The database is slower than the feed'}. To hold out longer, raise "
                "journal.max_megabytes in feeds.yaml"
            )
        return loading

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                journals = JournalPair(self._journal_file, self.feed)
                stack.callback(journals.close)
                # An appending thread must have ended before.
                stack.callback(self._leave)
                if self.feed.metrics_port is not None:
                    self._port = MetricsPort(self.feed.metrics_port, self.feed.name, self.metrics, self._gauges)
                    stack.callback(self._port.close)
                takeover = self._takeover = Takeover(
                    feed=self.feed,
                    owner=self._owner,
                    database=self._database,
                    journals=journals,
                    stopping=self._stopping,
                )
                with contextlib.suppress(StoppedError):
                    begun = takeover.begin() if self._follow else None
                    self._stream(takeover.take() if begun is None else self._succeed(takeover, *begun))
        except BaseException as error:  # noqa: BLE001  (handed to whoever waits)
            self._failure = error
        finally:
            self._ended.set()

    def _succeed(self, takeover: Takeover, begun: Handover, journal: Journal) -> Ownership:
        """Receive beside the predecessor for a while, if the provider allows that, then take the feed over."""
        self._journal, self._epoch = journal, begun.epoch
        if not self.feed.overlaps:
            return takeover.follow(begun, journal, closed_within=CLOSE_TIMEOUT)
        receiver = self._receive_from_now_on()
        channels = [channel for symbol in self.feed.symbol_names() for channel in self._connector.channels(symbol)]

        def is_ready() -> bool:
            if not receiver.is_alive():
                raise receiver.failure or HandoverFailedError(f"feed '{begun.feed}': its connections have ended")
            with self._changing:
                return self._readiness.covers(channels)

        return takeover.follow_when_ready(begun, journal, is_ready)

    def _receive_from_now_on(self) -> _Worker:
        if self._receiver is None:
            self._receiver = _Worker(self._connection.run, f"receive-{self.feed.name}")
            self._receiver.start()
        return self._receiver

    def _leave(self) -> None:
        self._end_reading()
        if self._receiver is not None:
            self._receiver.join(RECEIVER_TIMEOUT)

    def _stream(self, ownership: Ownership) -> None:
        journal, lease = ownership.journal, ownership.lease
        self._journal, self._epoch = journal, lease.epoch
        self._coverage.keep(CoverageNotes(journal.path, epoch=lease.epoch, journals=journal_pair(self._journal_file)))
        loader = Loader(
            database=self._database,
            lease=lease,
            decode=self._connector.decode,
            decode_many=self._connector.decode_many,
            journal=journal,
            before=ownership.before,
            metrics=self.metrics,
            silence=self._silence,
            coverage=self._coverage,
        )
        with self._changing:
            self._loader = loader
            for change in self._early:
                loader.record(change)
        receiver = self._receive_from_now_on()
        loading = _Worker(loader.run, f"load-{self.feed.name}")
        loading.start()
        while receiver.is_alive() and loading.is_alive() and loader.wanted and not self._stopping.is_set():
            self._stopping.wait(0.1)
            if self._port is not None:
                self._port.open_if_due()
        self._end_reading()
        journal.lift_limit()
        receiver.join(RECEIVER_TIMEOUT)
        journal.stop_appending()
        if receiver.failure is not None:
            # Nothing more will come: what the database does not take soon waits in the journal for the next start.
            loading.join(STOP_TIMEOUT)
            loader.abandon()
        loading.join()
        if isinstance(loading.failure, HandedOverError):
            # Whatever this one could not append any more, the successor has received too.
            self.successor = loading.failure.successor
            loader.close_session()
            return
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
        detail = f"{len(frames)} frames that were read are lost: the journal could not be written"
        logger.error("feed %s: %s", self.feed.name, detail)
        with self._changing:
            self._lost_frames += len(frames)
            self._record(Change(self._connection.state, time.time_ns(), frames[0].connection, detail))

    def _on_change(self, change: Change) -> None:
        with self._changing:
            self._readiness.note(change)
            self.metrics.connections = max(self.metrics.connections, change.connection)
            if isinstance(change.notice, ChannelsFailed):
                self._failed_channels.update(change.notice.reasons)
            elif isinstance(change.notice, Acknowledged | Unsubscribed):
                for channel in change.notice.channels:
                    self._failed_channels.pop(channel, None)
            self._record(change)

    def _record(self, change: Change) -> None:
        # A successor has no loader yet: it writes nothing before it has the feed.
        if self._loader is None:
            self._early.append(change)
        else:
            self._loader.record(change)

    def _gauges(self) -> Gauges:
        progress = self.progress()
        return Gauges(progress.waiting_bytes, connected=progress.state is State.STREAMING)


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
