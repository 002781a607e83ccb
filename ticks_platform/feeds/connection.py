"""The transport, written once for all connectors: connect, read, keep alive, notice death, come back.

One thread owns one connection. It stamps each frame's arrival and hands it on untouched; a frame is looked at only as
far as the connection's life depends on it.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import websocket

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer
from ticks_platform.feeds.events import Acknowledged, Frame, Notice, ProviderError, Refused, SymbolsFailed

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds for TCP, TLS and the WebSocket handshake together with each of their reads."""

PING_INTERVAL = 15.0
"""Seconds between pings; the official twelvedata-python client's interval."""

PONG_TIMEOUT = 10.0
"""Seconds without pong or any frame after a ping, after which the peer is taken for dead."""

ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds after which a symbol that was neither acknowledged nor failed is reported."""

GOODBYE_TIMEOUT = 1.0
"""Seconds for the provider to answer a close; frames that come before its answer are kept."""

_DATA = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY)

_POLL = 0.25
"""Seconds that a read waits before the clock is looked at."""


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


class _ConnectionLostError(Exception):
    """The connection ended, for the reason in the message; another may be tried."""


class FeedConnection:
    """Streams one connector's frames until told to stop, across as many connections as it takes.

    `on_frame` is called in the receiving thread with every data frame; it may block, which stops reading. `on_change`
    is called in the same thread with every change of state and every notice.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        on_frame: Callable[[Frame], None],
        on_change: Callable[[Change], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._connector = connector
        self._on_frame = on_frame
        self._on_change = on_change
        self._backoff = backoff or Backoff(base=0.5, cap=30.0)
        self._stop = threading.Event()
        self._connection = 0
        self._state = State.CLOSED

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
                except _ConnectionLostError as lost:
                    delay = self._backoff.next_delay()
                    self._change(State.BACKING_OFF, f"{lost}; trying again in {delay:.1f} s")
                    self._stop.wait(delay)
        except FeedRefusedError as refused:
            self._change(State.REFUSED, str(refused))
            raise
        self._change(State.CLOSED, "stopped")

    def _stream_once(self) -> None:
        endpoint = self._connector.endpoint()
        self._change(State.CONNECTING, endpoint.public_url)
        socket_ = self._connect(endpoint.url, endpoint.headers)
        try:
            self._converse(socket_, self._connector.converse())
        except (websocket.WebSocketException, OSError) as error:
            raise _ConnectionLostError(f"connection lost: {_describe(error)}") from error
        finally:
            # A clean close lets the provider free the slot at once; a peer that is gone must not delay us.
            with contextlib.suppress(Exception):
                socket_.close(timeout=0)

    def _connect(self, url: str, headers: dict[str, str]) -> websocket.WebSocket:
        socket_ = websocket.WebSocket(
            skip_utf8_validation=True,  # the bytes are kept as they came, and decoding validates them
            sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)],
        )
        try:
            socket_.connect(url, header=headers, timeout=CONNECT_TIMEOUT)  # type: ignore[no-untyped-call]
        except websocket.WebSocketBadStatusException as error:
            answer = HandshakeAnswer(error.status_code, error.resp_body or b"")
            refusal = self._connector.refusal(answer)
            if refusal:
                raise FeedRefusedError(refusal) from None
            raise _ConnectionLostError(f"handshake answered with HTTP {error.status_code}") from error
        except ssl.SSLCertVerificationError as error:
            raise _ConnectionLostError(f"TLS certificate not accepted: {error.verify_message}") from error
        except (websocket.WebSocketException, OSError) as error:
            raise _ConnectionLostError(f"cannot connect: {_describe(error)}") from error
        socket_.settimeout(_POLL)
        return socket_

    def _converse(self, socket_: websocket.WebSocket, conversation: Conversation) -> None:
        for message in conversation.opening():
            socket_.send(message)
        self._change(State.SUBSCRIBING, f"{len(self._connector.symbols)} symbols asked for")
        clock = _Clock(conversation)
        while not self._stop.is_set():
            try:
                opcode, data = socket_.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                clock.keep_alive(socket_)
                self._report_unacknowledged(clock, conversation)
                continue
            clock.heard()
            if opcode in _DATA:
                self._on_frame(Frame(data, time.time_ns(), self._connection))
                self._react(socket_, conversation, data)
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                raise _ConnectionLostError(f"the provider closed the connection ({_close_reason(data)})")
            if clock.due():
                clock.keep_alive(socket_)
                self._report_unacknowledged(clock, conversation)
        self._say_goodbye(socket_)

    def _say_goodbye(self, socket_: websocket.WebSocket) -> None:
        """Close cleanly, and take in what was on its way: it had reached the socket."""
        deadline = time.monotonic() + GOODBYE_TIMEOUT
        with contextlib.suppress(websocket.WebSocketException, OSError):
            socket_.send_close()
            while time.monotonic() < deadline:
                opcode, data = socket_.recv_data(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return
                if opcode in _DATA:
                    self._on_frame(Frame(data, time.time_ns(), self._connection))

    def _react(self, socket_: websocket.WebSocket, conversation: Conversation, data: bytes) -> None:
        has_data, notices, replies = conversation.receive(data)
        if has_data:
            self._backoff.reset()
            if self._state is not State.STREAMING:
                self._change(State.STREAMING, "first data")
        for message in replies:
            socket_.send(message)
        for notice in notices:
            if isinstance(notice, Refused):
                raise FeedRefusedError(notice.reason)
            self._change(self._state, _describe_notice(notice), notice)

    def _report_unacknowledged(self, clock: _Clock, conversation: Conversation) -> None:
        if clock.acknowledgement_overdue():
            missing = conversation.unacknowledged()
            if missing:
                reason = f"not acknowledged within {ACKNOWLEDGE_TIMEOUT:.0f} s"
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

    def keep_alive(self, socket_: websocket.WebSocket) -> None:
        """Send what is due. Raises _ConnectionLostError when the last ping went unanswered for too long."""
        now = time.monotonic()
        if self._pinged is not None and self._heard >= self._pinged:
            self._pinged = None
        if self._pinged is not None and now - self._pinged > PONG_TIMEOUT:
            raise _ConnectionLostError(f"no answer to a ping for {PONG_TIMEOUT:.0f} s")
        if now >= self._heartbeat_at:
            socket_.send(self._conversation.heartbeat())
            self._heartbeat_at = now + (self._conversation.heartbeat_interval or float("inf"))
        if now >= self._ping_at:
            socket_.ping()
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
        return f"subscribed to {', '.join(notice.symbols)}"
    if isinstance(notice, SymbolsFailed):
        return "not subscribed to " + "; ".join(f"{symbol} ({reason})" for symbol, reason in notice.reasons.items())
    if isinstance(notice, ProviderError):
        return f"the provider says: {notice.message}"
    return notice.reason


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _close_reason(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"
