"""One feed's connections: its symbols spread over as many as the provider or the plan requires."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State

_POLL = 0.1


def spread(symbols: Sequence[str], before: Sequence[Sequence[str]], *, capacity: int | None) -> list[list[str]]:
    """The symbols in groups of at most `capacity`. A symbol stays in the group that it was in `before`."""
    if capacity is None:
        return [list(symbols)]
    wanted = dict.fromkeys(symbols)
    groups = [[symbol for symbol in group if symbol in wanted] for group in before]
    for group in groups:
        for symbol in group:
            del wanted[symbol]
    for symbol in wanted:
        with_room = [group for group in groups if len(group) < capacity]
        if not with_room:
            groups.append([])
        (with_room or groups)[0 if with_room else -1].append(symbol)
    return groups


class ConnectionPool:
    """Streams a feed over one connection, or over several at once where `capacity` symbols are all that one carries."""

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str],
        capacity: int | None,
        on_frames: Callable[[Sequence[Frame]], None],
        on_change: Callable[[Change], None],
        silence: SilenceDetector | None = None,
    ) -> None:
        """`on_frames` and `on_change` are called in several threads, each with what is of one connection."""
        self._connector = connector
        self._capacity = capacity
        self._on_frames = on_frames
        self._on_change = on_change
        self._silence = silence
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._groups: list[list[str]] = []
        self._members: list[_Member] = []
        self._running = False
        self.want(symbols)

    @property
    def state(self) -> State:
        """The state of the connection that is worst off."""
        states = [member.connection.state for member in self._members]
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
        """Symbols that stay silent although everything was tried."""
        return frozenset().union(*(member.connection.unhealthy for member in self._members))

    def want(self, symbols: Sequence[str]) -> None:
        """Stream these symbols from now on; connections that stand go on, and more are opened as they are needed."""
        with self._lock:
            if self._stop.is_set():
                return
            self._groups = spread(symbols, self._groups, capacity=self._capacity)
            for number, group in enumerate(self._groups):
                if number < len(self._members):
                    self._members[number].connection.want(group)
                else:
                    self._members.append(self._open(group))

    def stop(self) -> None:
        """Ask `run` to return; it does within a fraction of a second. Safe from any thread."""
        self._stop.set()
        with self._lock:
            for member in self._members:
                member.connection.stop()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError when the provider refuses this client on any connection."""
        with self._lock:
            self._running = True
            for member in self._members:
                member.start()
        while not self._stop.is_set() and all(member.is_alive() for member in self._members):
            self._stop.wait(_POLL)
        self.stop()
        for member in self._members:
            member.join()
        for member in self._members:
            if member.failure is not None:
                raise member.failure

    def _open(self, group: Sequence[str]) -> _Member:
        member = _Member(
            FeedConnection(
                self._connector,
                symbols=group,
                on_frames=self._on_frames,
                on_change=self._on_change,
                silence=self._silence,
                numbers=self._numbers,
            )
        )
        if self._running:
            member.start()
        return member


class _Member(threading.Thread):
    """One connection at work, and what it died of."""

    def __init__(self, connection: FeedConnection) -> None:
        super().__init__(name="receive", daemon=True)
        self.connection = connection
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.connection.run()
        except BaseException as error:  # noqa: BLE001  (raised again by whoever runs them all)
            self.failure = error
