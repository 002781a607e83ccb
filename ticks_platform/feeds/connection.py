"""The transport, written once for all connectors: connect, read, keep alive, notice death, come back.

One thread owns one connection. It stamps each frame's arrival and hands it on untouched; a frame is looked at only as
far as the connection's life depends on it.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import websocket

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer
from ticks_platform.feeds.events import Acknowledged, Frame, Notice, ProviderError, Refused, SymbolsFailed
from ticks_platform.feeds.link import DATA, Link, LinkLostError, connect, describe

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds for the name look-up, TCP, TLS and the WebSocket handshake together."""

PING_INTERVAL = 15.0
"""Seconds between pings; the official twelvedata-python client's interval."""

PONG_TIMEOUT = 10.0
"""Seconds without pong or any frame after a ping, after which the peer is taken for dead."""

ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds after which a symbol that was neither acknowledged nor failed is reported."""

GOODBYE_TIMEOUT = 0.7
"""Seconds for the provider to answer a close; frames that come before its answer are kept."""

PROVEN_AFTER = 10.0
"""Seconds from a connection's first data after which it counts as a success, and waits begin small again. A provider
that drops the oldest connection of a key serves each for a moment: two clients would chase each other without pause."""

MAX_GROUP_FRAMES = 512
MAX_GROUP_BYTES = 1 << 20
"""What is handed over at a time, at the most."""

_POLL = 0.1
"""Seconds that a read waits before the clock is looked at."""

_NAMES_IN_A_LINE = 20
"""Symbols that one line of log names; a subscription may have thousands."""


class State(enum.Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    BACKING_OFF = "backing off"
    REFUSED = "refused"
    CLOSED = "closed"


class Change(NamedTuple):
    """A step in a connection's life, or a notice from the provider while it lives."""

    state: State
    at: int
    """Nanoseconds since the Unix epoch."""
    connection: int
    detail: str
    notice: Notice | None = None


class FeedRefusedError(Exception):
    """The provider refuses this client; trying again with the same settings cannot help."""


class FeedConnection:
    """Streams one connector's frames until told to stop, across as many connections as it takes.

    `on_frames` is called in the receiving thread with frames of one connection, in order: with those that arrived
    together, before more is asked of the system. It may block, which stops reading. `on_change` is called in the same
    thread with every change of state and every notice.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        on_frames: Callable[[Sequence[Frame]], None],
        on_change: Callable[[Change], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._connector = connector
        self._on_frames = on_frames
        self._group: list[Frame] = []
        self._group_bytes = 0
        self._on_change = on_change
        self._backoff = backoff or Backoff(base=0.5, cap=30.0)
        self._stop = threading.Event()
        self._connection = 0
        self._state = State.CLOSED
        self._first_data: float | None = None

    def stop(self) -> None:
        """Ask `run` to return; it does within a fraction of a second. Safe from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError when the provider refuses this client."""
        try:
            while not self._stop.is_set():
                self._connection += 1
                try:
                    self._stream_once()
                except LinkLostError as lost:
                    if self._first_data is not None and time.monotonic() - self._first_data >= PROVEN_AFTER:
                        self._backoff.reset()
                    delay = self._backoff.next_delay()
                    self._change(State.BACKING_OFF, f"{lost}; trying again in {delay:.1f} s")
                    self._stop.wait(delay)
        except FeedRefusedError as refused:
            self._change(State.REFUSED, str(refused))
            raise
        self._change(State.CLOSED, "stopped")

    def _stream_once(self) -> None:
        self._first_data = None
        endpoint = self._connector.endpoint()
        self._change(State.CONNECTING, endpoint.public_url)
        link = self._connect(endpoint)
        if link is None:
            return
        try:
            self._converse(link, self._connector.converse())
        except LinkLostError as lost:
            if isinstance(lost.__cause__, OSError):
                self._take_in_what_arrived(link)
            raise
        finally:
            link.close()
            self._hand_over()

    def _connect(self, endpoint: Endpoint) -> Link | None:
        """A WebSocket that is open, or None when told to stop."""
        try:
            return connect(endpoint, timeout=CONNECT_TIMEOUT, stop=self._stop)
        except websocket.WebSocketBadStatusException as error:
            refusal = self._connector.refusal(HandshakeAnswer(error.status_code, error.resp_body or b""))
            if refusal:
                raise FeedRefusedError(refusal) from None
            raise LinkLostError(f"handshake answered with HTTP {error.status_code}") from error
        except ssl.SSLCertVerificationError as error:
            raise LinkLostError(f"TLS certificate not accepted: {error.verify_message}") from error
        except (websocket.WebSocketException, OSError, ValueError, LookupError) as error:
            # The last two are what the library makes of a host or an answer that cannot be one.
            raise LinkLostError(f"cannot connect: {describe(error)}") from error

    def _converse(self, link: Link, conversation: Conversation) -> None:
        for message in conversation.opening():
            link.send(message)
        link.poll_every(_POLL)  # only now: a long subscription may take its time on a slow line
        self._change(State.SUBSCRIBING, f"{len(self._connector.symbols)} symbols asked for")
        clock = _Clock(conversation)
        while not self._stop.is_set():
            received = link.receive()
            if received is not None:
                clock.heard()
                opcode, data = received
                if opcode in DATA:
                    self._take_in(data)
                    self._react(link, conversation, data)
                elif opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise LinkLostError(f"the provider closed the connection ({_close_reason(data)})")
            if not link.more_at_hand or self._group_bytes >= MAX_GROUP_BYTES or len(self._group) >= MAX_GROUP_FRAMES:
                self._hand_over()
            if received is None or clock.due():
                clock.keep_alive(link)
                self._report_unacknowledged(clock, conversation)
        self._say_goodbye(link)

    def _say_goodbye(self, link: Link) -> None:
        """Close cleanly, and take in what was on its way: it had reached the socket."""
        deadline = time.monotonic() + GOODBYE_TIMEOUT
        with contextlib.suppress(LinkLostError):
            link.send_close()
            while time.monotonic() < deadline:
                received = link.receive()
                if received is not None and not self._still_open(*received):
                    return

    def _take_in_what_arrived(self, link: Link) -> None:
        """After a failed write, take in what the system had received before: it had reached the socket."""
        with contextlib.suppress(LinkLostError):
            while (received := link.receive()) is not None and self._still_open(*received):
                pass

    def _still_open(self, opcode: int, data: bytes) -> bool:
        """Take a message in if it is a frame; returns whether more may follow."""
        if opcode in DATA:
            self._take_in(data)
        return opcode != websocket.ABNF.OPCODE_CLOSE

    def _take_in(self, data: bytes) -> None:
        self._group.append(Frame(data, time.time_ns(), self._connection))
        self._group_bytes += len(data)

    def _hand_over(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._on_frames(group)

    def _react(self, link: Link, conversation: Conversation, data: bytes) -> None:
        has_data, notices, replies = conversation.receive(data)
        if has_data and self._first_data is None:
            self._first_data = time.monotonic()
            self._change(State.STREAMING, "first data")
        for message in replies:
            link.send(message)
        for notice in notices:
            if isinstance(notice, Refused):
                raise FeedRefusedError(notice.reason)
            self._change(self._state, _describe_notice(notice), notice)

    def _report_unacknowledged(self, clock: _Clock, conversation: Conversation) -> None:
        if clock.acknowledgement_overdue():
            missing = conversation.unacknowledged()
            if missing:
                reason = f"not acknowledged within {ACKNOWLEDGE_TIMEOUT:g} s"
                notice = SymbolsFailed(dict.fromkeys(sorted(missing), reason))
                self._change(self._state, _describe_notice(notice), notice)

    def _change(self, state: State, detail: str, notice: Notice | None = None) -> None:
        self._state = state
        level = logging.WARNING if state in (State.BACKING_OFF, State.REFUSED) else logging.INFO
        if isinstance(notice, SymbolsFailed | ProviderError):
            level = logging.WARNING
        logger.log(level, "connection %d %s: %s", self._connection, state.value, detail)
        self._on_change(Change(state, time.time_ns(), self._connection, detail, notice))


class _Clock:
    """What is due when on one connection, on the monotonic clock."""

    def __init__(self, conversation: Conversation) -> None:
        now = time.monotonic()
        self._conversation = conversation
        self._heard = now
        self._ping_at = now + PING_INTERVAL
        self._pinged: float | None = None
        self._heartbeat_at = now + (conversation.heartbeat_interval or float("inf"))
        self._acknowledged_by = now + ACKNOWLEDGE_TIMEOUT

    def heard(self) -> None:
        self._heard = time.monotonic()

    def due(self) -> bool:
        return self._heard >= min(self._ping_at, self._heartbeat_at, self._acknowledged_by)

    def keep_alive(self, link: Link) -> None:
        """Send what is due. Raises LinkLostError when the last ping went unanswered for too long."""
        now = time.monotonic()
        if self._pinged is not None and self._heard >= self._pinged:
            self._pinged = None
        if self._pinged is not None and now - self._pinged > PONG_TIMEOUT:
            raise LinkLostError(f"no answer to a ping for {PONG_TIMEOUT:g} s")
        if now >= self._heartbeat_at:
            link.send(self._conversation.heartbeat())
            self._heartbeat_at = now + (self._conversation.heartbeat_interval or float("inf"))
        if now >= self._ping_at:
            link.ping()
            self._ping_at = now + PING_INTERVAL
            if self._pinged is None:
                self._pinged = now

    def acknowledgement_overdue(self) -> bool:
        """True once, when the time for acknowledgements is over."""
        if time.monotonic() < self._acknowledged_by:
            return False
        self._acknowledged_by = float("inf")
        return True


def _describe_notice(notice: Notice) -> str:
    if isinstance(notice, Acknowledged):
        return f"subscribed to {_enumerate(notice.symbols)}"
    if isinstance(notice, SymbolsFailed):
        return f"not subscribed to {_enumerate([f'{symbol} ({why})' for symbol, why in notice.reasons.items()])}"
    if isinstance(notice, ProviderError):
        return f"the provider says: {notice.message}"
    return notice.reason


def _enumerate(names: Collection[str]) -> str:
    more = len(names) - _NAMES_IN_A_LINE
    return ", ".join(list(names)[:_NAMES_IN_A_LINE]) + (f" and {more} more" if more > 0 else "")


def _close_reason(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"
