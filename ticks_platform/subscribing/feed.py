"""The events of a feed, read from its provider."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from ticks_platform.feeds.calendars import Calendar
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import (
    Bar,
    Control,
    Correction,
    Event,
    Frame,
    OfficialPrice,
    Quote,
    Rejected,
    Tick,
    TradingHalt,
    arrived,
)
from ticks_platform.feeds.events import Refused as RefusedNotice
from ticks_platform.feeds.settings import STAND_IN, FeedSettings, StandInSettings
from ticks_platform.feeds.trade_ids import NO_IDENTITY
from ticks_platform.feeds.transport.clock import steady
from ticks_platform.feeds.transport.pool import ConnectionPool
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change as StateChange
from ticks_platform.feeds.transport.state import State
from ticks_platform.local_feeds import stand_in_url
from ticks_platform.subscribing.subscription import Change, OnChange
from ticks_platform.timestamps import from_nanoseconds

logger = logging.getLogger(__name__)

OPEN_TIMEOUT = 10.0
"""Seconds that `open` waits for the provider to accept or refuse this client; later it happens in the background."""

MAX_QUEUED_GROUPS = 16
"""Groups of frames, of at most 1 MB, that are queued for a slow subscriber before reading waits."""

MAX_BARS = 200_000
"""Windows whose latest bar is kept, to deliver it as the old row: minutes of the whole market, or days of a few
symbols. A correction of an older window is delivered as an addition only."""

_POLL_INTERVAL = 0.1

_TRADING_DAY_BEGINS = timedelta(hours=5)
"""After midnight UTC. US exchanges restart trade ids each day, and none has a session at this hour."""

_DECIDED = frozenset((State.SUBSCRIBING, State.STREAMING, State.STALLED, State.BACKING_OFF, State.REFUSED))
"""States in which the provider has accepted or refused this client."""


class FrameKey(NamedTuple):
    """Key of an event without an id; unique within one subscription."""

    frame: int
    """Number of its frame, from 1."""
    place: int
    """Index in the frame, from 0."""


class TradeKey(NamedTuple):
    """The provider's id of a trade. One that is sent again, as after a reconnect, is delivered with the same key."""

    symbol: str
    exchange: str | None
    trade_id: str
    day: date


class WindowKey(NamedTuple):
    """The window of a bar. Times are nanoseconds since the Unix epoch."""

    symbol: str
    start_time: int
    end_time: int


class _ReaderSilence(SilenceDetector):
    """Does not count the time in which reading waited for a slow subscriber: the provider was not silent then."""

    def __init__(
        self, calendars: Mapping[str, Calendar], *, patience: float, waiting: queue.Queue[Sequence[Frame]]
    ) -> None:
        """`waiting` is the queue of frames that are not decoded yet."""
        super().__init__(calendars, patience=patience)
        self.reading_since = 0.0
        """When reading last resumed after waiting for the subscriber, in seconds since the Unix epoch."""
        self._waiting = waiting

    def any_open_since(self, now: float) -> float | None:
        opened = super().any_open_since(now)
        return None if opened is None else max(opened, self.reading_since)

    def duration(self, symbol: str, now: float, *, since: float) -> float:
        if self._waiting.unfinished_tasks:
            return 0.0
        return super().duration(symbol, now, since=max(since, self.reading_since))


class FeedSource:
    """Reads a feed in threads of its own, and delivers its events in the order of arrival."""

    def __init__(self, feed: FeedSettings, stand_in: StandInSettings | None = None) -> None:
        """`stand_in` are the settings of the stand-in, if it is the feed's endpoint."""
        self.name = f"feed '{feed.name}'"
        self._feed = feed
        self._stand_in = stand_in or StandInSettings()
        self._resources = contextlib.ExitStack()
        self._groups: queue.Queue[Sequence[Frame]] = queue.Queue(MAX_QUEUED_GROUPS)
        self._stopping = threading.Event()
        self._decided = threading.Event()
        self._connector: Connector
        self._silence: _ReaderSilence
        self._connections: ConnectionPool | None = None
        self._reader: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._refusal: str | None = None
        """Why the provider refused this client's first connection."""
        self._frames = 0
        self._rejected = 0
        self._bars: OrderedDict[WindowKey, Bar] = OrderedDict()

    def open(self) -> None:
        """Connect. Raises SettingsError, FeedRefusedError, StandInError."""
        try:
            feed = self._feed
            stand_in_url = self._start_stand_in() if feed.endpoint == STAND_IN else None
            self._connector = feed.connector(stand_in_url=stand_in_url)
            self._silence = _ReaderSilence(feed.calendars(), patience=feed.stale_after_seconds, waiting=self._groups)
            self._connections = ConnectionPool(
                self._connector,
                symbols=feed.symbol_names(),
                capacity=feed.symbols_per_connection,
                on_frames=self._receive,
                on_change=self._on_state_change,
                silence=self._silence,
                feed=feed.name,
                max_message_bytes=feed.max_message_megabytes << 20,
            )
            self._reader = threading.Thread(target=self._read, name=f"read-{feed.name}", daemon=True)
            self._reader.start()
            self._decided.wait(OPEN_TIMEOUT)
            if self._decided.is_set() and self._state_is_final():
                self._reader.join()
            if self._failure is not None:
                raise self._failure  # noqa: TRY301  (the reader's exception)
            if self._refusal is not None:
                # A later refusal ends it only if it is repeated; here, the caller waits for an answer.
                raise FeedRefusedError(self._refusal)  # noqa: TRY301
        except BaseException:
            self.stop()
            self.close()
            raise

    def follow(self, deliver: OnChange) -> None:
        """Deliver events until `stop`. Raises FeedRefusedError if the provider refuses this client."""
        assert self._reader is not None
        while not self._stopping.is_set():
            # Read before the queue, so that all frames are delivered before the reader's exception is raised.
            reading = self._reader.is_alive()
            try:
                group = self._groups.get(timeout=_POLL_INTERVAL)
            except queue.Empty:
                if reading:
                    continue
                if self._failure is not None:
                    raise self._failure from None
                return
            for frame in group:
                self._deliver_frame(frame, deliver)
            self._silence.mark_decoded((group[-1].received_at - group[-1].stepped) / 1e9)
            self._groups.task_done()

    def stop(self) -> None:
        """Ask `follow` to return."""
        self._stopping.set()
        if self._connections is not None:
            self._connections.stop()

    def close(self) -> None:
        """Wait until the connections are closed; stop the stand-in."""
        if self._reader is not None:
            self._reader.join()
        self._resources.close()

    def _start_stand_in(self) -> str:
        # Imported here since most subscriptions need no server.
        from ticks_standin import StandInProcess
        from ticks_standin import StandInSettings as ServerSettings

        feed = self._feed
        server = StandInProcess(ServerSettings(**self._stand_in.model_dump()))
        self._resources.callback(server.close)
        return stand_in_url(feed, server)

    def _read(self) -> None:
        assert self._connections is not None
        try:
            self._connections.run()
        except BaseException as error:  # noqa: BLE001  (raised again by `open` or `follow`)
            self._failure = error
        finally:
            self._decided.set()

    def _state_is_final(self) -> bool:
        assert self._connections is not None
        return self._connections.state in (State.REFUSED, State.CLOSED)

    def _on_state_change(self, change: StateChange) -> None:
        if isinstance(change.notice, RefusedNotice) and not self._decided.is_set():
            self._refusal = change.notice.reason
        if change.state in _DECIDED:
            self._decided.set()

    def _receive(self, frames: Sequence[Frame]) -> None:
        """Queue frames; called in the connections' threads. Waits while the queue is full."""
        try:
            self._groups.put_nowait(frames)
        except queue.Full:
            while not self._stopping.is_set():
                with contextlib.suppress(queue.Full):
                    self._groups.put(frames, timeout=_POLL_INTERVAL)
                    break
            self._silence.reading_since = steady()

    def _deliver_frame(self, frame: Frame, deliver: OnChange) -> None:
        self._frames += 1
        try:
            events = self._connector.decode(frame.data)
        except Exception as error:  # noqa: BLE001  (a connector's bug must not stop its feed)
            events = [Rejected(f"connector failed: {type(error).__name__}: {error}", frame.data)]
        self._silence.record(
            [event.symbol for event in events if isinstance(event, Tick | Quote | Bar)],
            until=(frame.received_at - frame.stepped) / 1e9,
        )
        for event in events:
            if isinstance(event, TradingHalt):
                self._silence.record_halt(event.symbol, event.kind, (frame.received_at - frame.stepped) / 1e9)
        received_at = frame.received_at + frame.correction
        for place, event in enumerate(events):
            for change in self._changes(arrived(event, received_at), FrameKey(self._frames, place)):
                deliver(change)

    def _changes(self, event: Event, key: FrameKey) -> list[Change]:
        try:
            if isinstance(event, Bar):
                return self._changes_of_bar(event)
            if isinstance(event, Tick | Quote):
                at = from_nanoseconds(event.time)
                if isinstance(event, Tick) and event.trade_id and event.trade_id not in NO_IDENTITY:
                    day = (at - _TRADING_DAY_BEGINS).date()
                    return [Change(TradeKey(event.symbol, event.exchange, event.trade_id, day), event, at, True)]
                return [Change(key, event, at, True)]
        except (OverflowError, TypeError):
            event = Rejected("time out of range", repr(event).encode())
        if not isinstance(event, Control | OfficialPrice | Correction | TradingHalt):
            self._reject(event)
        return []

    def _changes_of_bar(self, bar: Bar) -> list[Change]:
        key = WindowKey(bar.symbol, bar.start_time, bar.end_time)
        at = from_nanoseconds(bar.start_time)
        before = self._bars.pop(key, None)
        self._bars[key] = bar
        if len(self._bars) > MAX_BARS:
            self._bars.popitem(last=False)
        addition = Change(key, bar, at, True)
        if before is None:
            return [addition]
        # The same bar again is no change.
        return [] if before == bar else [Change(key, before, at, False), addition]

    def _reject(self, rejected: object) -> None:
        """Log a rejected event: the 1st, 2nd, 4th, 8th and so on."""
        self._rejected += 1
        if self._rejected & (self._rejected - 1) == 0:
            reason = (
                rejected.reason
                if isinstance(rejected, Rejected)
                else f"connector returned unsupported event type {type(rejected).__name__}"
            )
            logger.warning("%s: event rejected (%d so far): %s", self.name, self._rejected, reason)
