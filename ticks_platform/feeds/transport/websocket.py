"""One WebSocket connection, on top of websocket-client."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import io
import math
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import websocket

from ticks_platform import http_date, proxies
from ticks_platform.feeds.connector import Endpoint, HandshakeAnswer
from ticks_platform.feeds.errors import ConnectionLostError, UnreachableError
from ticks_platform.feeds.transport.clock import ClockWatch, boottime, steady_ns
from ticks_platform.feeds.transport.limits import (
    MAX_HANDSHAKE_BYTES,
    MAX_MESSAGE_BYTES,
    LimitedFragments,
    LimitedFrames,
    MessageTooLargeError,
)
from ticks_platform.feeds.transport.read_ahead import BufferedSocket
from ticks_platform.feeds.transport.tunnel import open_tunnel

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DATA = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY)
CLOSE = websocket.ABNF.OPCODE_CLOSE
PONG = websocket.ABNF.OPCODE_PONG

BODY_TIMEOUT = 2.0
"""Seconds to read a body of unknown length; what arrived by then is used."""

MAX_BODY_BYTES = 1 << 16
"""Most bytes that are read of such a body."""

_POLL_INTERVAL = 0.1


class HandshakeFailedError(ConnectionLostError):
    """The response to the handshake was not an upgrade to a WebSocket."""

    def __init__(self, answer: HandshakeAnswer, *, server_ahead: int | None = None) -> None:
        """`server_ahead` is as in WebSocketConnection."""
        super().__init__(f"handshake answered with HTTP {answer.status}")
        self.answer = answer
        self.server_ahead = server_ahead


class WebSocketConnection:
    """An open WebSocket. Its failures are ConnectionLostError, so that they differ from those of a callback."""

    def __init__(self, socket_: _WebSocket, reader: BufferedSocket) -> None:
        self._socket = socket_
        self._reader = reader
        self._max_message_bytes = socket_.max_message_bytes
        self._timeout = math.inf
        # Whether websocket-client holds no part of a frame or of a fragmented message.
        self._between_messages = True
        self.server_ahead = socket_.server_ahead
        """By how much the server's clock is ahead of `steady_ns`, as its answer to the handshake tells; or None."""

    def set_timeout(self, seconds: float) -> None:
        """Set the timeout of reads and writes."""
        self._timeout = seconds
        self._socket.settimeout(seconds)

    @property
    def has_buffered_message(self) -> bool:
        """Whether `receive` has a message without a system call."""
        return self._reader.has_frame

    @property
    def is_drained(self) -> bool:
        """Whether nothing that arrived is left to read. Makes a system call."""
        return not self._reader.has_frame and not self._reader.has_pending_bytes

    def receive_buffered(self, most: int, most_bytes: int) -> list[bytes]:
        """The next data messages that are buffered whole, in order: at most so many, of so many bytes together.

        Makes no system call. Empty if `receive` has to read the next one, as it can read all.
        """
        return self._reader.take_messages(most, most_bytes) if self._between_messages else []

    def receive(self) -> tuple[int, bytes] | None:
        """The next message with its opcode, or None if none was complete in time; pings are answered.

        Takes at most twice the timeout of `set_timeout`, even if a message arrives byte by byte.
        """
        # A message that is buffered whole bypasses websocket-client, which takes 6 us for it.
        if buffered := self.receive_buffered(1, self._max_message_bytes):
            return DATA[0], buffered[0]
        self._between_messages = False
        self._reader.deadline = boottime() + self._timeout
        try:
            opcode, data = self._socket.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        except MessageTooLargeError as error:
            with contextlib.suppress(websocket.WebSocketException, OSError):
                self._socket.send_close(websocket.STATUS_MESSAGE_TOO_BIG)
            raise ConnectionLostError(str(error)) from error
        except (websocket.WebSocketException, OSError) as error:
            raise _connection_lost(error) from error
        # A control frame may arrive between the fragments of a message.
        self._between_messages = opcode in DATA
        return opcode, data

    def send(self, message: str) -> None:
        self._write(self._socket.send, message)

    def ping(self, payload: bytes = b"") -> None:
        self._write(self._socket.ping, payload)

    def send_close(self) -> None:
        self._write(self._socket.send_close)

    def _write(self, write: Callable[..., object], *arguments: object) -> None:
        try:
            write(*arguments)
        except (websocket.WebSocketException, OSError) as error:
            raise _connection_lost(error) from error

    def close(self) -> None:
        """Close the socket. Sends a close frame if none was sent, so that the provider frees the connection at once."""
        with contextlib.suppress(Exception):
            self._socket.close(timeout=0)  # do not wait for a dead peer
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # `close` does nothing after a `send_close`


class _WebSocket(websocket.WebSocket):
    """websocket-client's WebSocket on a `BufferedSocket`, from the first byte of the handshake's response.

    websocket-client closes the socket of a refused handshake and reads its body only if there is a Content-Length.
    Providers also explain a refusal in a chunked body, so it is read before the socket is closed.
    """

    reader: BufferedSocket | None = None
    server_ahead: int | None = None

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(
            skip_utf8_validation=True,  # the bytes are stored as they are; decoding validates them
            sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)],
        )
        self.max_message_bytes = max_message_bytes
        self.cont_frame = LimitedFragments(max_message_bytes)
        self.frame_buffer = LimitedFrames(self._recv, self.cont_frame)

    @property
    def sock(self) -> Any:
        return self._sock

    @sock.setter
    def sock(self, socket_: Any) -> None:
        self._sock = socket_
        if socket_ is not None:
            self._sock = self.reader = BufferedSocket(socket_, max_handshake_bytes=MAX_HANDSHAKE_BYTES)

    def open(self, endpoint: Endpoint, timeout: float) -> None:
        """Connect. Raises what websocket-client raises; a WebSocketBadStatusException has the response's body."""
        sent = steady_ns()
        try:
            self.connect(  # type: ignore[no-untyped-call]
                endpoint.url,
                header=endpoint.headers,
                timeout=timeout,
                redirect_limit=0,  # a redirect would send the headers, and so the key, to another address
                **_proxy_options(endpoint.url, timeout, self.sock_opt.sockopt),
            )
            self._note_date(self.getheaders(), sent=sent)
        except websocket.WebSocketBadStatusException as error:
            self._note_date(error.resp_headers, sent=sent)
            if error.resp_body is None and self.reader is not None:
                error.resp_body = _read_body(self.reader, error)
            raise
        finally:
            if self.reader is not None:
                self.reader.ignore_close = False
                self.reader.handshake_left = None
                if not self.connected:
                    self.reader.close()

    def _note_date(self, headers: Mapping[str, str] | None, *, sent: int) -> None:
        ours = ClockWatch().stepped
        self.server_ahead = http_date.ahead(headers or {}, sent=sent, received=steady_ns(), ours=ours)


def _proxy_options(url: str, timeout: float, sockopt: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Which proxy to use. websocket-client would send loopback through it too."""
    proxy = proxies.proxy_for(url)
    # Without a proxy's name, websocket-client looks at the environment by itself.
    direct = {"http_proxy_host": "none.invalid", "http_proxy_port": 80, "http_no_proxy": ["*"]}
    if proxy is None:
        return direct
    if proxy.kind == "http":
        return {**direct, "socket": open_tunnel(url, proxy, timeout=timeout, options=sockopt)}
    return {
        "http_proxy_host": proxy.host,
        "http_proxy_port": proxy.port,
        "http_proxy_auth": proxy.credentials,
        "proxy_type": proxy.kind,
        "http_no_proxy": ["none.invalid"],  # what no_proxy names is handled by `proxy_for`
    }


class _ResponseStream(io.RawIOBase):
    """The head of a response and the rest of it from a socket, as a socket for http.client."""

    def __init__(self, head: bytes, reader: BufferedSocket) -> None:
        self._head = head
        self._reader = reader
        self._deadline = boottime() + BODY_TIMEOUT

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        part, self._head = self._head[: len(view)], self._head[len(view) :]
        if not part:
            left = self._deadline - boottime()
            if left <= 0:
                raise TimeoutError
            self._reader.settimeout(left)
            part = self._reader.recv(len(view))
        view[: len(part)] = part
        return len(part)


def _read_body(reader: BufferedSocket, error: websocket.WebSocketBadStatusException) -> bytes:
    """The body of a handshake's response: what arrives within BODY_TIMEOUT, at most MAX_BODY_BYTES."""
    coding = (error.resp_headers or {}).get("transfer-encoding")
    lines = [f"HTTP/1.1 {error.status_code} -", *([f"Transfer-Encoding: {coding}"] if coding else []), "", ""]
    body = b""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, websocket.WebSocketException):
        stream = _ResponseStream("\r\n".join(lines).encode(), reader)
        response = http.client.HTTPResponse(cast("socket.socket", stream))
        response.begin()
        while part := response.read1(MAX_BODY_BYTES - len(body)):
            body += part
    return body


def connect(
    endpoint: Endpoint, *, timeout: float, stop: threading.Event, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> WebSocketConnection | None:
    """An open WebSocket, or None once `stop` is set. `timeout` is for DNS, TCP, TLS and handshake together.

    Raises HandshakeFailedError; UnreachableError if the server cannot be reached; ConnectionLostError after the timeout
    or for any other reason.
    """
    socket_ = _WebSocket(max_message_bytes)
    # In a separate thread: a DNS query and a TLS handshake cannot be interrupted, only abandoned.
    opening: concurrent.futures.Future[None] = concurrent.futures.Future()
    threading.Thread(target=_open, args=(socket_, endpoint, timeout, opening), name="connect", daemon=True).start()
    deadline = boottime() + timeout
    while not stop.is_set() and boottime() < deadline:
        if concurrent.futures.wait((opening,), timeout=_POLL_INTERVAL).done:
            break
    if opening.cancel():
        _interrupt(socket_)
        if stop.is_set():
            return None
        raise ConnectionLostError(f"cannot connect: timed out after {timeout:g} s")
    try:
        opening.result()
    except websocket.WebSocketBadStatusException as error:
        answer = HandshakeAnswer(error.status_code, error.resp_body or b"", error.resp_headers or {})
        raise HandshakeFailedError(answer, server_ahead=socket_.server_ahead) from error
    except ssl.SSLCertVerificationError as error:
        raise ConnectionLostError(f"cannot connect: TLS certificate not accepted: {error.verify_message}") from error
    except (websocket.WebSocketException, OSError, ValueError, LookupError) as error:
        # websocket-client raises the last two for an invalid host name or response.
        unreachable = isinstance(error, OSError | websocket.WebSocketAddressException)
        kind = UnreachableError if unreachable and not isinstance(error, ssl.SSLError) else ConnectionLostError
        raise kind(f"cannot connect: {describe(error)}") from error
    assert socket_.reader is not None
    return WebSocketConnection(socket_, socket_.reader)


def _open(socket_: _WebSocket, endpoint: Endpoint, timeout: float, opening: concurrent.futures.Future[None]) -> None:
    """Connect; close the socket if `opening` was cancelled meanwhile."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        try:
            socket_.open(endpoint, timeout)
        except Exception as error:  # noqa: BLE001  (raised again by `connect`)
            opening.set_exception(error)
        else:
            opening.set_result(None)
            return
    socket_.shutdown()  # type: ignore[no-untyped-call]


def _interrupt(socket_: _WebSocket) -> None:
    """End a handshake in another thread."""
    if socket_.reader is not None:
        with contextlib.suppress(OSError):
            socket_.reader.shutdown(socket.SHUT_RDWR)


def close_reason(data: bytes) -> str:
    """What the payload of a close frame says."""
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"


def describe(error: BaseException) -> str:
    """The message of an error, or its type if it has none."""
    return str(error) or type(error).__name__


def _connection_lost(error: Exception) -> ConnectionLostError:
    return ConnectionLostError(f"connection lost: {describe(error)}")
