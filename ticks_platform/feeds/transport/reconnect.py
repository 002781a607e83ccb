"""The transport, written once for all connectors: connect, read, keep alive, notice death, come back.

One thread owns one connection. It stamps each frame's arrival and hands it on untouched; a frame is looked at only as
far as the connection's life depends on it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint
from ticks_platform.feeds.errors import (
    ConnectionLostError,
    FeedRefusedError,
    LeavingError,
    TryLaterError,
    UnreachableError,
)
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport.session import POLL, Session
from ticks_platform.feeds.transport.silence import Escalation, SilenceDetector
from ticks_platform.feeds.transport.state import Change, State, StateTracker
from ticks_platform.feeds.transport.websocket import CLOSE, DATA, HandshakeFailedError, WebSocketConnection, connect

CONNECT_TIMEOUT = 10.0
"""Seconds for the name look-up, TCP, TLS and the WebSocket handshake together."""

GOODBYE_TIMEOUT = 0.7
"""Seconds for saying goodbye: for a close frame, and for the provider's answer. Frames that come before it are kept."""

PROVEN_AFTER = 10.0
"""Seconds from a connection's first data after which it counts as a success, and waits begin small again. A provider
that drops the oldest connection of a key serves each for a moment: two clients would chase each other without pause."""

UNREACHABLE_PAUSE = 4.0
"""Longest wait while nobody answers at all, since trying burdens nobody: a provider that is back is found soon."""

QUIET_INTERVAL = 50_000_000
"""Nanoseconds after which it is asked again whether everything that has arrived was read."""

MAX_GROUP_FRAMES = 512
MAX_GROUP_BYTES = 1 << 20
"""What is handed over at a time, at the most."""


class FeedConnection:
    """Streams some symbols' frames until told to stop, across as many connections as it takes.

    `on_frames` is called in the receiving thread with frames of one connection, in order: with those that arrived
    together, before more is asked of the system. It may block, which stops reading. `on_change` is called in the same
    thread with every change of state and every notice.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str],
        on_frames: Callable[[Sequence[Frame]], None],
        on_change: Callable[[Change], None],
        backoff: Backoff | None = None,
        silence: SilenceDetector | None = None,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """`silence` judges silence; without it, only a dead peer is noticed. `numbers` number the connections."""
        self._connector = connector
        self._symbols = tuple(symbols)
        self._on_frames = on_frames
        self._group: list[Frame] = []
        self._group_bytes = 0
        self._state = StateTracker(on_change)
        self._backoff = backoff or Backoff(base=0.5, cap=30.0)
        self._escalation = Escalation(silence) if silence else None
        self._numbers = numbers or itertools.count(1)
        self._stop = threading.Event()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state.current

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that stay silent although everything was tried."""
        return self._escalation.unhealthy if self._escalation else frozenset()

    def want(self, symbols: Sequence[str]) -> None:
        """Stream these symbols from now on, on the connection that stands. Safe from any thread."""
        self._symbols = tuple(symbols)

    def stop(self) -> None:
        """Ask `run` to return; it does within a fraction of a second. Safe from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError when the provider refuses this client."""
        try:
            while not self._stop.is_set():
                self._state.begin(next(self._numbers))
                try:
                    self._stream_once()
                except ConnectionLostError as lost:
                    if self._proven():
                        self._backoff.reset()
                    delay = self._backoff.next_delay()
                    if isinstance(lost, UnreachableError):
                        delay %= UNREACHABLE_PAUSE  # as evenly spread as before, which a minimum would not be
                    if isinstance(lost, TryLaterError):
                        delay += lost.seconds
                    self._state.change(State.BACKING_OFF, f"{lost}; trying again in {delay:.1f} s")
                    self._stop.wait(delay)
        except FeedRefusedError as refused:
            self._state.change(State.REFUSED, str(refused))
            raise
        self._state.change(State.CLOSED, "stopped")

    def _stream_once(self) -> None:
        endpoint = self._connector.endpoint()
        self._state.change(State.CONNECTING, endpoint.public_url)
        websocket = self._connect(endpoint)
        if websocket is None:
            return
        try:
            self._converse(websocket, self._connector.converse())
        except LeavingError:
            self._say_goodbye(websocket)
            raise
        except ConnectionLostError as lost:
            if isinstance(lost.__cause__, OSError):
                self._take_in_what_arrived(websocket)
            raise
        finally:
            websocket.close()
            self._hand_over()

    def _proven(self) -> bool:
        first_data = self._state.first_data
        return first_data is not None and time.monotonic() - first_data >= PROVEN_AFTER

    def _connect(self, endpoint: Endpoint) -> WebSocketConnection | None:
        """An open WebSocket, or None when told to stop."""
        try:
            return connect(endpoint, timeout=CONNECT_TIMEOUT, stop=self._stop)
        except HandshakeFailedError as failed:
            refusal = self._connector.refusal(failed.answer)
            if refusal:
                raise FeedRefusedError(refusal) from None
            raise

    def _converse(self, websocket: WebSocketConnection, conversation: Conversation) -> None:
        for message in conversation.opening():
            websocket.send(message)
        session = Session(
            websocket,
            conversation,
            connector=self._connector,
            state=self._state,
            escalation=self._escalation,
            symbols=lambda: self._symbols,
        )
        while not self._stop.is_set():
            received = websocket.receive()
            if received is not None:
                session.clock.heard()
                opcode, data = received
                if opcode in DATA:
                    self._take_in(data)
                    session.react(data)
                elif opcode == CLOSE:
                    raise ConnectionLostError(f"the provider closed the connection ({_close_reason(data)})")
            if (
                not websocket.more_at_hand
                or self._group_bytes >= MAX_GROUP_BYTES
                or len(self._group) >= MAX_GROUP_FRAMES
            ):
                self._hand_over()
                self._note_quiet(websocket)
                session.tell_answers()
            if received is None or session.due():
                session.keep_going()
        self._say_goodbye(websocket)

    def _note_quiet(self, websocket: WebSocketConnection) -> None:
        """Take note of a moment at which nothing waits that was not handed over: data after it proves the time before.

        The arrival of the data itself would not: after a pause in reading, what comes first was sent before the pause,
        and the provider may have gone in the middle of it.
        """
        now, before = time.time_ns(), self._state.quiet_at
        if (before is None or now - before >= QUIET_INTERVAL) and websocket.nothing_waits:
            self._state.quiet_at = now

    def _say_goodbye(self, websocket: WebSocketConnection) -> None:
        """Close cleanly, and take in what was on its way: it had reached the socket."""
        deadline = time.monotonic() + GOODBYE_TIMEOUT
        with contextlib.suppress(ConnectionLostError):
            websocket.send_close()
            while (left := deadline - time.monotonic()) > 0:
                websocket.poll_every(min(left / 2, POLL))  # of which a read takes twice as much at the most
                received = websocket.receive()
                if received is not None and not self._still_open(*received):
                    return

    def _take_in_what_arrived(self, websocket: WebSocketConnection) -> None:
        """After a failed write, take in what the system had received before: it had reached the socket."""
        with contextlib.suppress(ConnectionLostError):
            while (received := websocket.receive()) is not None and self._still_open(*received):
                pass

    def _still_open(self, opcode: int, data: bytes) -> bool:
        """Take a message in if it is a frame; returns whether more may follow."""
        if opcode in DATA:
            self._take_in(data)
        return opcode != CLOSE

    def _take_in(self, data: bytes) -> None:
        self._group.append(Frame(data, time.time_ns(), self._state.connection))
        self._group_bytes += len(data)

    def _hand_over(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._on_frames(group)


def _close_reason(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"
