"""One feed's ingestion: a receiving thread and a loading thread, started and stopped together."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

import psycopg2

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connection import Change, FeedConnection, State
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Frame, SymbolsFailed
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.buffer import BufferClosedError, FrameBuffer
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 20.0
"""Seconds that a stop waits for the received frames to be committed."""


class Progress(NamedTuple):
    """What an ingestion has done since it began, and how it is now."""

    state: State
    ticks: int
    rejected: int
    control: int
    connections: int
    waiting_bytes: int
    last_event_at: int | None
    lag_seconds: float | None
    trouble: str | None
    failed_symbols: dict[str, str]


class NotStoredError(Exception):
    """The ingestion had to stop while received frames were not committed yet."""


class Ingestion:
    """Streams a feed into the hypertable until stopped, switched off, refused or taken over.

    Use as a context manager; leaving it stops reading, commits what was received, and gives the feed up.
    """

    def __init__(self, *, feed: FeedSettings, connector: Connector, database: Database, owner: str) -> None:
        """`owner` names this ingestion in the lease, for example a Dagster run id."""
        self.feed = feed
        self._connector = connector
        self._database = database
        self._owner = owner
        self._lease: Lease | None = None
        self._buffer: FrameBuffer | None = None
        self._loader: Loader | None = None
        self._connection = FeedConnection(connector, on_frame=self._receive, on_change=self._on_change)
        self._state = State.CONNECTING
        self._connections = 0
        self._failed_symbols: dict[str, str] = {}
        self._trouble: str | None = None
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
        """Wait up to `seconds` for the ingestion to end by itself; returns whether it has.

        Raises what ended it: FeedRefusedError, LeaseLostError, MixedDatabaseError, or whatever else went wrong. It ends
        without an error when the feed was switched off.
        """
        ended = self._ended.wait(seconds)
        if ended and self._failure is not None:
            raise self._failure
        return ended

    def stop(self) -> None:
        """Stop reading, commit what was received, give the feed up.

        Raises NotStoredError when the database did not take everything within STOP_TIMEOUT.
        """
        self._stopping.set()
        self._connection.stop()
        self._thread.join(STOP_TIMEOUT)
        if self._thread.is_alive():
            if self._loader is not None:
                self._loader.abandon()
            self._thread.join(5.0)
            waiting = self._buffer.depth_bytes if self._buffer else 0
            if waiting or self._loader is not None:
                raise NotStoredError(
                    f"feed '{self.feed.name}' was stopped while the database did not commit: about {waiting} bytes of "
                    f"received frames are lost ({self.progress().trouble})"
                )

    def progress(self) -> Progress:
        """Counts since the start, and the state of things now. Safe from any thread."""
        loader = self._loader
        return Progress(
            state=self._state,
            ticks=loader.ticks if loader else 0,
            rejected=loader.rejected if loader else 0,
            control=loader.control if loader else 0,
            connections=self._connections,
            waiting_bytes=self._buffer.depth_bytes if self._buffer else 0,
            last_event_at=loader.last_event_at if loader else None,
            lag_seconds=loader.last_lag_seconds if loader else None,
            trouble=loader.trouble if loader else self._trouble,
            failed_symbols=dict(self._failed_symbols),
        )

    def _run(self) -> None:
        try:
            lease = self._take_lease()
            if lease is not None:
                self._stream(lease)
        except BaseException as error:  # noqa: BLE001  (handed to whoever waits)
            self._failure = error
        finally:
            self._ended.set()

    def _take_lease(self) -> Lease | None:
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
                    )
            except (psycopg2.Error, DatabaseUnavailableError) as error:
                self._trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s cannot take its lease: %s", self.feed.name, self._trouble)
                self._stopping.wait(backoff.next_delay())
                continue
            self._trouble = None
            return lease
        return None

    def _stream(self, lease: Lease) -> None:
        buffer = self._buffer = FrameBuffer(start=lease.position)
        loader = self._loader = Loader(
            database=self._database, lease=lease, decode=self._connector.decode, buffer=buffer
        )
        receiver = _Worker(self._connection.run, f"receive-{self.feed.name}")
        loading = _Worker(loader.run, f"load-{self.feed.name}")
        receiver.start()
        loading.start()
        while receiver.is_alive() and loading.is_alive() and loader.wanted and not self._stopping.is_set():
            self._stopping.wait(0.1)
        self._connection.stop()
        # A receiver that is stuck in a handshake has nothing to hand over; it must not hold up the commit.
        receiver.join(2.0)
        buffer.close()
        loading.join()
        for failure in (loading.failure, receiver.failure):
            if failure is not None:
                raise failure

    def _receive(self, frame: Frame) -> None:
        assert self._buffer is not None
        # Once closed, the ingestion has ended: what still arrives was never acknowledged to anybody.
        with contextlib.suppress(BufferClosedError):
            self._buffer.append(frame)

    def _on_change(self, change: Change) -> None:
        assert self._loader is not None
        self._state = change.state
        self._connections = change.connection
        if change.state is State.CONNECTING:
            self._failed_symbols.clear()
        if isinstance(change.notice, SymbolsFailed):
            self._failed_symbols.update(change.notice.reasons)
        self._loader.record(change)


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
