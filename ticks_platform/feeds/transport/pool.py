"""All connections of a feed: its symbols are spread over several if one connection has a limit."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport.limits import MAX_MESSAGE_BYTES
from ticks_platform.feeds.transport.pause import Pause
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State

_POLL_INTERVAL = 0.1


def spread(symbols: Sequence[str], before: Sequence[Sequence[str]], *, capacity: int | None) -> list[list[str]]:
    """The symbols in groups of at most `capacity`. A symbol stays in its group of `before`."""
    if capacity is None:
        return [list(symbols)]
    unassigned = dict.fromkeys(symbols)
    groups = [[symbol for symbol in group if symbol in unassigned] for group in before]
    for group in groups:
        for symbol in group:
            del unassigned[symbol]
    for symbol in unassigned:
        with_room = [group for group in groups if len(group) < capacity]
        if not with_room:
            groups.append([])
        (with_room or groups)[0 if with_room else -1].append(symbol)
    return groups


def capacity_of(connector: Connector, symbols: Sequence[str], given: int | None) -> int | None:
    """Most symbols of one connection: what is `given`, or less if the provider accepts less; None for no limit."""
    limit = connector.channels_per_connection
    if limit is None or not symbols:
        return given
    most = max(1, limit // max(1, *(len(set(connector.channels(symbol))) for symbol in symbols)))
    return most if given is None else min(most, given)


class ConnectionPool:
    """Streams a feed over one connection, or over several with at most `capacity` symbols each."""

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str],
        capacity: int | None,
        on_frames: Callable[[Sequence[Frame]], bool | None],
        on_change: Callable[[Change], None],
        silence: SilenceDetector | None = None,
        feed: str = "",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """`on_frames` and `on_change` are called in the thread of each connection. `feed` is its name, for the log."""
        self._connector = connector
        self._capacity = capacity
        self._on_frames = on_frames
        self._on_change = on_change
        self._silence = silence
        self._feed = feed
        self._max_message_bytes = max_message_bytes
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._groups: list[list[str]] = []
        self._threads: list[_ConnectionThread] = []
        self._running = False
        self._pause = Pause()
        self.set_symbols(symbols)

    @property
    def state(self) -> State:
        """The worst state of any connection."""
        states = [thread.connection.state for thread in self._threads]
        order = (
            State.REFUSED,
            State.BACKING_OFF,
            State.STALLED,
            State.CONNECTING,
            State.AUTHENTICATING,
            State.SUBSCRIBING,
            State.STREAMING,
        )
        return next((state for state in order if state in states), State.CLOSED)

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that are still silent after a new subscription and a reconnect."""
        return frozenset().union(*(thread.connection.unhealthy for thread in self._threads))

    def set_symbols(self, symbols: Sequence[str]) -> None:
        """Stream these symbols from now on. Open connections stay open; more are opened if needed."""
        with self._lock:
            if self._stop.is_set():
                return
            capacity = capacity_of(self._connector, symbols, self._capacity)
            self._groups = spread(symbols, self._groups, capacity=capacity)
            for number, group in enumerate(self._groups):
                if number < len(self._threads):
                    self._threads[number].connection.set_symbols(group)
                else:
                    self._threads.append(self._open(group))

    def stop(self) -> None:
        """Ask `run` to return, which takes less than a second. Safe from any thread."""
        self._stop.set()
        with self._lock:
            for thread in self._threads:
                thread.connection.stop()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError if the provider refuses this client on any connection."""
        with self._lock:
            self._running = True
            for thread in self._threads:
                thread.start()
        while not self._stop.is_set() and all(thread.is_alive() for thread in self._threads):
            self._stop.wait(_POLL_INTERVAL)
        self.stop()
        for thread in self._threads:
            thread.join()
        for thread in self._threads:
            if thread.failure is not None:
                raise thread.failure

    def _open(self, group: Sequence[str]) -> _ConnectionThread:
        thread = _ConnectionThread(
            FeedConnection(
                self._connector,
                symbols=group,
                on_frames=self._on_frames,
                on_change=self._on_change,
                silence=self._silence,
                numbers=self._numbers,
                feed=self._feed,
                max_message_bytes=self._max_message_bytes,
                pause=self._pause,
            )
        )
        if self._running:
            thread.start()
        return thread


class _ConnectionThread(threading.Thread):
    """The thread of one connection, and the exception that ended it."""

    def __init__(self, connection: FeedConnection) -> None:
        super().__init__(name="receive", daemon=True)
        self.connection = connection
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.connection.run()
        except BaseException as error:  # noqa: BLE001  (raised again by ConnectionPool.run)
            self.failure = error
