"""The transport, written once for all connectors: connect, read, keep alive, notice death, come back.

One thread owns one connection. It stamps each frame's arrival and hands it on untouched; a frame is looked at only as
far as the connection's life depends on it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import enum
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import websocket

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer
from ticks_platform.feeds.events import Acknowledged, Frame, Notice, ProviderError, Refused, SymbolsFailed

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

_DATA = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY)

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
                except _ConnectionLostError as lost:
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
        except _ConnectionLostError as lost:
            if isinstance(lost.__cause__, OSError):
                self._take_in_what_arrived(link)
            raise
        finally:
            link.close()

    def _connect(self, endpoint: Endpoint) -> _Link | None:
        """A WebSocket that is open, or None when told to stop."""
        socket_ = websocket.WebSocket(
            skip_utf8_validation=True,  # the bytes are kept as they came, and decoding validates them
            sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)],
        )
        # In a thread of its own, since a name look-up and a TLS handshake cannot be interrupted, only left alone.
        opening: concurrent.futures.Future[None] = concurrent.futures.Future()
        threading.Thread(target=_open, args=(socket_, endpoint, opening), name="connect", daemon=True).start()
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while not self._stop.is_set() and time.monotonic() < deadline:
            if concurrent.futures.wait((opening,), timeout=_POLL).done:
                break
        if opening.cancel():
            _wake(socket_)
            if self._stop.is_set():
                return None
            raise _ConnectionLostError(f"cannot connect: not done within {CONNECT_TIMEOUT:g} s")
        try:
            opening.result()
        except websocket.WebSocketBadStatusException as error:
            refusal = self._connector.refusal(HandshakeAnswer(error.status_code, error.resp_body or b""))
            if refusal:
                raise FeedRefusedError(refusal) from None
            raise _ConnectionLostError(f"handshake answered with HTTP {error.status_code}") from error
        except ssl.SSLCertVerificationError as error:
            raise _ConnectionLostError(f"TLS certificate not accepted: {error.verify_message}") from error
        except (websocket.WebSocketException, OSError, ValueError, LookupError) as error:
            # The last two are what the library makes of a host or an answer that cannot be one.
            raise _ConnectionLostError(f"cannot connect: {_describe(error)}") from error
        return _Link(socket_)

    def _converse(self, link: _Link, conversation: Conversation) -> None:
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
                if opcode in _DATA:
                    self._on_frame(Frame(data, time.time_ns(), self._connection))
                    self._react(link, conversation, data)
                elif opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise _ConnectionLostError(f"the provider closed the connection ({_close_reason(data)})")
            if received is None or clock.due():
                clock.keep_alive(link)
                self._report_unacknowledged(clock, conversation)
        self._say_goodbye(link)

    def _say_goodbye(self, link: _Link) -> None:
        """Close cleanly, and take in what was on its way: it had reached the socket."""
        deadline = time.monotonic() + GOODBYE_TIMEOUT
        with contextlib.suppress(_ConnectionLostError):
            link.send_close()
            while time.monotonic() < deadline:
                received = link.receive()
                if received is not None and not self._take_in(*received):
                    return

    def _take_in_what_arrived(self, link: _Link) -> None:
        """After a failed write, take in what the system had received before: it had reached the socket."""
        with contextlib.suppress(_ConnectionLostError):
            while (received := link.receive()) is not None and self._take_in(*received):
                pass

    def _take_in(self, opcode: int, data: bytes) -> bool:
        """Hand a message on if it is a frame; returns whether more may follow."""
        if opcode in _DATA:
            self._on_frame(Frame(data, time.time_ns(), self._connection))
        return opcode != websocket.ABNF.OPCODE_CLOSE

    def _react(self, link: _Link, conversation: Conversation, data: bytes) -> None:
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


class _Link:
    """An open WebSocket. Every failure of it is a _ConnectionLostError, and so never taken for one of a callback."""

    def __init__(self, socket_: websocket.WebSocket) -> None:
        self._socket = socket_

    def poll_every(self, seconds: float) -> None:
        """How long `receive` waits, and a write may be stuck."""
        self._socket.settimeout(seconds)

    def receive(self) -> tuple[int, bytes] | None:
        """The next message with its opcode, or None when none was complete in time; pings are answered."""
        try:
            opcode, data = self._socket.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError) as error:
            raise _lost(error) from error
        return opcode, data

    def send(self, message: str) -> None:
        self._write(self._socket.send, message)

    def ping(self) -> None:
        self._write(self._socket.ping)

    def send_close(self) -> None:
        self._write(self._socket.send_close)

    def _write(self, write: Callable[..., object], *arguments: object) -> None:
        try:
            write(*arguments)
        except (websocket.WebSocketException, OSError) as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Free the socket, with a close frame where none was sent: it lets the provider free the slot at once."""
        with contextlib.suppress(Exception):
            self._socket.close(timeout=0)  # a peer that is gone must not delay us
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # `close` does nothing after a `send_close`


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

    def keep_alive(self, link: _Link) -> None:
        """Send what is due. Raises _ConnectionLostError when the last ping went unanswered for too long."""
        now = time.monotonic()
        if self._pinged is not None and self._heard >= self._pinged:
            self._pinged = None
        if self._pinged is not None and now - self._pinged > PONG_TIMEOUT:
            raise _ConnectionLostError(f"no answer to a ping for {PONG_TIMEOUT:g} s")
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


def _open(socket_: websocket.WebSocket, endpoint: Endpoint, opening: concurrent.futures.Future[None]) -> None:
    """Connect, unless `opening` is cancelled meanwhile: then nobody wants the socket any more."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        try:
            socket_.connect(  # type: ignore[no-untyped-call]
                endpoint.url,
                header=endpoint.headers,
                timeout=CONNECT_TIMEOUT,
                redirect_limit=0,  # the headers would go along, and with them the key, to wherever it points
            )
        except Exception as error:  # noqa: BLE001  (raised again by whoever waits)
            opening.set_exception(error)
        else:
            opening.set_result(None)
            return
    socket_.shutdown()  # type: ignore[no-untyped-call]


def _wake(socket_: websocket.WebSocket) -> None:
    """End the handshake that another thread is reading."""
    if socket_.sock is not None:
        with contextlib.suppress(OSError):
            socket_.sock.shutdown(socket.SHUT_RDWR)


def _lost(error: Exception) -> _ConnectionLostError:
    return _ConnectionLostError(f"connection lost: {_describe(error)}")


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


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _close_reason(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"
