"""One feed's ingestion: starts and stops its receiving thread, its journal and its loading thread.

In the order of a tick: the appender puts frames into the journal; the loader takes them from there and commits them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from ticks_platform import masking
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Unsubscribed
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.symbol_settings import asked
from ticks_platform.feeds.transport.pool import ConnectionPool
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.appender import Appender
from ticks_platform.ingestion.arrival_clock import ArrivalClock
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes
from ticks_platform.ingestion.handover.handover import Handover, HandoverFailedError, Readiness, Source, StoppedError
from ticks_platform.ingestion.handover.takeover import CLOSE_TIMEOUT, Ownership, Takeover
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal.journal_pair import JournalPair, journal_pair
from ticks_platform.ingestion.journal.space import Budget
from ticks_platform.ingestion.lease import HandedOverError
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Gauges, Metrics
from ticks_platform.ingestion.metrics_export import MetricsExport
from ticks_platform.ingestion.progress import Progress
from ticks_platform.ingestion.provider_trouble import ProviderTrouble
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.worker import Worker
from ticks_platform.paths import journal_path
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from ticks_platform.ingestion.journal_copy.copy import JournalCopy

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that a stop waits for the database to commit the journal; the next start loads the rest."""

RECEIVER_TIMEOUT = 2.0
"""Seconds that a stop waits for the last frames: the closing handshake takes up to 0.7 s, a read up to 0.2 s, and the
rest is for appending to the journal."""

ROOM_TIMEOUT = 5.0
"""Seconds that a stop waits longer for a database that is only slow, if the last frames have no room before."""

END_TIMEOUT = 1.5
"""Seconds that a stop waits after that for what still runs. All three are less than ten: who asks for a stop, such as a
service manager, kills what takes longer."""


class Ingestion:
    """Streams a feed into the database until it is stopped, disabled, refused or taken over.

    Use it as a context manager. On exit it stops reading, commits what the database accepts within STOP_TIMEOUT, and
    releases the feed. Uncommitted frames stay in the journal; the feed's next ingestion loads them.
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
        """`owner` identifies this ingestion in the lease, for example a Dagster run id. `journal_file` is the first of
        the feed's two journals. If `follow` is set and the feed has an owner, takes over as planned, with an overlap if
        `feed.overlaps`; otherwise at once.
        """
        masking.install()
        self.feed = feed
        self.metrics = Metrics()
        self._connector = connector
        self._database = database
        self._owner = owner
        self.successor: str | None = None
        """The owner that took over as planned, if the ingestion ended in this way."""
        self._follow = follow
        self._journal_file = journal_file or journal_path(feed.name)
        self._journal: Journal | None = None
        self._takeover: Takeover | None = None
        self._loader: Loader | None = None
        self._copy: JournalCopy | None = None
        self._receiver: Worker | None = None
        self._export: MetricsExport | None = None
        self._readiness = Readiness()
        self._unrecorded: list[Change] = []
        self._asked = AskedSymbols(connector, feed.symbol_names())
        self._silence = SilenceDetector(feed.calendars(), patience=feed.stale_after_seconds)
        self._clock = ArrivalClock(feed.name, self._silence)
        self._clock.on_learned = self._follow_clock
        self._coverage = Coverage(connector, feed, at=self._clock.now(), silence=self._silence)
        self._appender = Appender(feed.name, self._clock, self._coverage, on_lost=self._report_lost)
        self._connection = ConnectionPool(
            connector,
            symbols=feed.symbol_names(),
            capacity=feed.symbols_per_connection,
            on_frames=self._appender.append,
            on_change=self._on_change,
            silence=self._silence,
            feed=feed.name,
            max_message_bytes=min(
                feed.max_message_megabytes << 20, Budget.of(feed.journal.max_megabytes << 20).largest
            ),
        )
        self._provider_trouble = ProviderTrouble()
        self._change_lock = threading.RLock()
        self._failed_channels: dict[str, str] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"ingest-{feed.name}", daemon=True)

    def __enter__(self) -> Ingestion:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the ingestion to end by itself; returns whether it has ended.

        Raises what ended it: FeedRefusedError, LeaseLostError, MixedDatabaseError, HandoverFailedError, JournalError,
        JournalDamagedError, JournalUnavailableError, or any unexpected error. No error is raised if the feed was
        disabled, or handed over: then `successor` is set.
        """
        ended = self._ended.wait(seconds)
        if ended and self._failure is not None:
            raise self._failure
        return ended

    def stop(self) -> None:
        """Stop reading, commit the journal as far as the database allows soon, and release the feed."""
        self._stopping.set()
        self._stop_reading()
        self._thread.join(STOP_TIMEOUT)
        if self._receiver is not None and self._receiver.is_alive() and self._loader and not self._loader.trouble:
            self._thread.join(ROOM_TIMEOUT)
        if self._thread.is_alive() and self._loader is not None:
            self._loader.abandon()
            if self._journal is not None:
                self._journal.stop_appending()
            self._thread.join(END_TIMEOUT)
            logger.warning(
                "feed %s stopped with about %d uncommitted bytes in its journal (%s); its next start loads them",
                self.feed.name,
                self.progress().waiting_bytes,
                self.progress().trouble,
            )

    def apply_settings(self, feed: FeedSettings) -> None:
        """Stream the symbols of these settings from now on, without dropping the connections."""
        self.feed = feed
        self._asked.add(feed.symbol_names())
        self._connector.use_symbols(asked(feed.symbols))
        self._silence.set_calendars(feed.calendars())
        self._coverage.apply_settings(feed, at=self._clock.now())
        self._connection.set_symbols(feed.symbol_names())
        self._drop_refused({channel for name in feed.symbol_names() for channel in self._connector.channels(name)})

    def _drop_refused(self, wanted: Container[str]) -> None:
        """Report refused channels that are no longer wanted as ended, which the provider does not confirm."""
        dropped = Unsubscribed(tuple(channel for channel in list(self._failed_channels) if channel not in wanted))
        if dropped.channels:
            connection = max(self.metrics.connections, 1)
            self._on_change(self._clock.notice(self._connection.state, connection, dropped))

    def progress(self) -> Progress:
        """Counts since the start, and the current state. Safe from any thread."""
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
            trouble=masking.masked(self._current_trouble()),
            failed_channels=dict(self._failed_channels),
            silent_symbols=self._connection.unhealthy,
            unshipped=None if self._copy is None else self._copy.unshipped(),
        )

    def _current_trouble(self) -> str | None:
        worker = self._loader or self._takeover
        database_trouble = worker.trouble if worker else None
        if self._appender.trouble is not None:
            return self._appender.trouble
        if self._journal is not None and self._journal.full:
            limit = self.feed.journal.max_megabytes
            return (
                f"the journal of feed '{self.feed.name}' is full ({self._journal.full_of}, its files in "
                f"{self._journal.path.parent} may take {limit} MB): reading is paused until some of it is free. "
                f"{database_trouble or 'The database is slower than the feed'}. To bridge longer outages, raise "
                "journal.max_megabytes in feeds.yaml"
            )
        if database_trouble is not None:
            return database_trouble
        said = self._provider_trouble.text
        return self._clock.trouble if said is None else f"feed '{self.feed.name}': {said}"

    # Start and stop.

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                journals = JournalPair(self._journal_file, self.feed)
                stack.callback(journals.close)
                stack.callback(self._end_copy)
                # Callbacks run in reverse order: the receiver ends before its journal is closed.
                stack.callback(self._stop_receiver)
                self._export = MetricsExport(self.feed, self.metrics, self._gauges)
                stack.callback(self._export.close)
                database, stopping = self._database, self._stopping
                takeover = self._takeover = Takeover(
                    feed=self.feed, owner=self._owner, database=database, journals=journals, stopping=stopping
                )
                with contextlib.suppress(StoppedError):
                    announced = takeover.announce() if self._follow else None
                    self._stream(takeover.take() if announced is None else self._take_over(takeover, *announced))
        except BaseException as error:  # noqa: BLE001  (raised by `wait`)
            self._failure = error
        finally:
            self._ended.set()

    def _take_over(self, takeover: Takeover, planned: Handover, journal: Journal) -> Ownership:
        """Take the feed over as planned, after receiving alongside the predecessor if the provider allows that."""
        self._use_journal(journal, planned.epoch)
        if not self.feed.overlaps:
            return takeover.follow(planned, journal, closed_within=CLOSE_TIMEOUT)
        receiver = self._start_receiver()
        channels = [channel for symbol in self.feed.symbol_names() for channel in self._connector.channels(symbol)]

        def is_ready() -> bool:
            if not receiver.is_alive():
                raise receiver.failure or HandoverFailedError(f"feed '{planned.feed}': its connections have ended")
            with self._change_lock:
                return self._readiness.covers(channels)

        return takeover.follow_when_ready(planned, journal, is_ready)

    def _stream(self, ownership: Ownership) -> None:
        journal, lease = ownership.journal, ownership.lease
        self._use_journal(journal, lease.epoch)
        read_back = self._begin_copy(ownership)
        journals = [*journal_pair(self._journal_file), *(source.journal.path for source in read_back)]
        self._coverage.write_notes_to(CoverageNotes(journal.path, epoch=lease.epoch, journals=journals))
        loader = Loader(
            database=self._database,
            lease=lease,
            decode=self._connector.decode,
            decode_many=self._connector.decode_many,
            secondary=not self.feed.candles,
            asked=self._asked,
            journal=journal,
            before=[*read_back, *ownership.before],
            metrics=self.metrics,
            silence=self._silence,
            coverage=self._coverage,
            clock=self._clock,
        )
        with self._change_lock:
            self._loader = loader
            for change in self._unrecorded:
                loader.record(change)
        if self._copy is not None:
            self._copy.read_later(loader.sources.add)
        receiver = self._start_receiver()
        loading = Worker(loader.run, f"load-{self.feed.name}")
        loading.start()
        while receiver.is_alive() and loading.is_alive() and loader.renewed.goes_on and not self._stopping.is_set():
            self._stopping.wait(0.1)
            if self._export is not None:
                self._export.update()
        self._stop_reading()
        loader.hurry()
        journal.begin_stop()
        receiver.join(RECEIVER_TIMEOUT)
        # The last frames wait for room, unless the database refuses; `stop` decides how long it has.
        while receiver.is_alive() and loading.is_alive() and not loader.trouble:
            receiver.join(0.05)
        journal.stop_appending()
        receiver.join(RECEIVER_TIMEOUT)
        loader.hurry()  # it stores what the receiver has said last
        if receiver.failure is not None:
            # No more frames will come; what the database does not commit soon is loaded by the next start.
            loading.join(STOP_TIMEOUT)
            loader.abandon()
        loading.join()
        if isinstance(loading.failure, HandedOverError):
            # The successor has received everything that this journal lacks.
            self.successor = loading.failure.successor
            loader.close_session()
            return
        for failure in (loading.failure, receiver.failure):
            if failure is not None:
                raise failure
        self._appender.raise_if_lost()

    def _begin_copy(self, ownership: Ownership) -> list[Source]:
        """Copy the journals if that is asked for, and return those that were read back from the copy."""
        if self.feed.journal.copy_to is None or self._takeover is None:
            return []
        # Needs the client of NATS, which no other feed loads.
        from ticks_platform.ingestion.journal_copy.copy import JournalCopy

        journals = [*(source.journal for source in ownership.before), ownership.journal]
        self._copy = JournalCopy(self.feed, ownership.lease, journals, self._takeover.until_committed, self._stopping)
        self._copy.start()
        # New frames wait for nothing.
        self._start_receiver()
        return self._copy.read_back(self._takeover.latest)

    def _end_copy(self) -> None:
        if self._copy is not None:
            self._copy.stop()

    def _use_journal(self, journal: Journal, epoch: int) -> None:
        self._journal = self._appender.journal = journal
        self._clock.epoch = epoch

    def _start_receiver(self) -> Worker:
        if self._receiver is None:
            self._receiver = Worker(self._connection.run, f"receive-{self.feed.name}")
            self._receiver.start()
        return self._receiver

    def _stop_receiver(self) -> None:
        self._stop_reading()
        if self._receiver is not None:
            if self._journal is not None:
                self._journal.begin_stop()
                self._journal.stop_appending()
            self._receiver.join(RECEIVER_TIMEOUT)

    def _stop_reading(self) -> None:
        self._connection.stop()
        self._appender.stop()

    # Called by the receiving thread.

    def _report_lost(self, connection: int, detail: str) -> None:
        """Report received frames that are in no journal, in feed_session."""
        with self._change_lock:
            self._record(Change(self._connection.state, self._clock.now(), connection, detail))

    def _on_change(self, change: Change) -> None:
        with self._change_lock:
            self._follow_clock(change)
            change = self._clock.corrected(change)
            self._readiness.record(change)
            self._provider_trouble.record(change)
            self.metrics.connections = max(self.metrics.connections, change.connection)
            if isinstance(change.notice, ChannelsFailed):
                self._failed_channels.update(change.notice.reasons)
            elif isinstance(change.notice, Acknowledged | Unsubscribed):
                for channel in change.notice.channels:
                    self._failed_channels.pop(channel, None)
            self._record(change)

    def _follow_clock(self, change: Change | None = None) -> None:
        with self._change_lock:
            self._clock.follow(self._coverage.move, change)

    def _record(self, change: Change) -> None:
        # A successor has no loader before it holds the lease.
        if self._loader is None:
            self._unrecorded.append(change)
        else:
            self._loader.record(change)

    def _gauges(self) -> Gauges:
        progress = self.progress()
        corrections = {each.connection: each.correction for each in self._clock.states()}
        return Gauges(
            progress.waiting_bytes,
            progress.state is State.STREAMING,
            corrections,
            self._clock.doubts,
            progress.unshipped,
        )
