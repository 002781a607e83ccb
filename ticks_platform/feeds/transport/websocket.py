"""One WebSocket, from connecting to closing: websocket-client with what it leaves to its user."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import io
import math
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import websocket

from ticks_platform.feeds.connector import Endpoint, HandshakeAnswer
from ticks_platform.feeds.errors import ConnectionLostError, UnreachableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_SIZE = 1 << 18
"""Bytes asked for at a time. websocket-client asks for two, then for the frame; each time costs a system call, and the
interpreter changes hands, which is what limits reading while another thread decodes."""

DATA = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY)
CLOSE = websocket.ABNF.OPCODE_CLOSE

_PLAIN_DATA = {0x80 | opcode: opcode for opcode in DATA}
"""First bytes of frames that are a whole message: final, no extension bits, text or binary."""

ANSWER_TIMEOUT = 2.0
"""Seconds for the rest of a body whose length the provider does not tell; what has come by then has to do."""

MAX_ANSWER = 1 << 16
"""Bytes that are read of such a body."""

_POLL = 0.1


class HandshakeFailedError(ConnectionLostError):
    """The handshake was answered, but not with an upgrade to a WebSocket."""

    def __init__(self, answer: HandshakeAnswer) -> None:
        super().__init__(f"handshake answered with HTTP {answer.status}")
        self.answer = answer


class WebSocketConnection:
    """An open WebSocket. Every failure of it is a ConnectionLostError, and so never taken for one of a callback."""

    def __init__(self, socket_: _WebSocket, reader: _ReadAhead) -> None:
        self._socket = socket_
        self._reader = reader
        self._patience = math.inf
        # Whether websocket-client is between messages, with no half-read frame and no first part of a message in hand.
        self._between_messages = True

    def poll_every(self, seconds: float) -> None:
        """How long `receive` waits, and a write may be stuck."""
        self._patience = seconds
        self._socket.settimeout(seconds)

    @property
    def more_at_hand(self) -> bool:
        """Whether `receive` has another message without asking the system."""
        return self._reader.frame_at_hand

    @property
    def nothing_waits(self) -> bool:
        """Whether no message is at hand, and the system has nothing for us at this moment. Asks the system."""
        return not self._reader.frame_at_hand and not self._reader.bytes_waiting

    def receive(self) -> tuple[int, bytes] | None:
        """The next message with its opcode, or None when none was complete in time; pings are answered.

        It takes twice what was set with `poll_every` at the most, however little of a message comes at a time.
        """
        # A message that was read ahead whole needs none of the care of websocket-client, whose care takes 6 us.
        message = self._reader.take_message() if self._between_messages else None
        if message is not None:
            return message
        self._between_messages = False
        self._reader.until = time.monotonic() + self._patience
        try:
            opcode, data = self._socket.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError) as error:
            raise _lost(error) from error
        # A control frame may have come in between the parts of a message.
        self._between_messages = opcode in DATA
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


class _ReadAhead:
    """A socket that reads far ahead, and is the socket it is made of for everything else."""

    def __init__(self, socket_: Any) -> None:
        self._socket = socket_
        self._buffer = b""
        self._at = 0
        self.until = math.inf
        """Until when the system is asked for more, on the monotonic clock: websocket-client reads on for as long as
        parts of a message come, which may be for ever."""
        self.stays_open = True
        """Whether `close` does nothing: websocket-client closes a refused handshake before its answer is read."""

    def close(self) -> None:
        if not self.stays_open:
            self._socket.close()

    def recv(self, size: int) -> bytes:
        if self._at >= len(self._buffer):
            if time.monotonic() >= self.until:
                raise TimeoutError
            self._buffer = self._socket.recv(READ_SIZE)
            self._at = 0
        part = self._buffer[self._at : self._at + size]
        self._at += len(part)
        return part

    @property
    def frame_at_hand(self) -> bool:
        """Whether a whole frame has been read ahead."""
        return self._payload() is not None

    @property
    def bytes_waiting(self) -> bool:
        """Whether the system has received more than was read."""
        pending = getattr(self._socket, "pending", None)
        if pending is not None and pending():
            return True
        poll = select.poll()  # not select(), which takes no descriptor beyond 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def take_message(self) -> tuple[int, bytes] | None:
        """The next frame with its opcode, if it was read ahead and is a whole message of data, unmasked and plain."""
        place = self._payload()
        if place is None:
            return None
        opcode = _PLAIN_DATA.get(self._buffer[self._at])
        if opcode is None or self._buffer[self._at + 1] & 0x80:
            return None
        begin, end = place
        self._at = end
        return opcode, self._buffer[begin:end]

    def _payload(self) -> tuple[int, int] | None:
        """Where the payload of the next frame begins and ends, if all of it was read ahead (RFC 6455, section 5.2)."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 2:
            return None
        length, begin = buffer[at + 1] & 0x7F, at + 2
        if length >= 126:
            begin = at + (4 if length == 126 else 10)
            length = int.from_bytes(buffer[at + 2 : begin], "big")
        end = begin + length
        return (begin, end) if end <= len(buffer) else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _WebSocket(websocket.WebSocket):
    """websocket-client's WebSocket, which reads ahead from the first byte of the handshake's answer on.

    websocket-client takes in the body of an answer only where a Content-Length announces it, and closes the socket.
    Providers explain a refusal in a chunked body too: it is read before the socket is closed.
    """

    reader: _ReadAhead | None = None

    @property
    def sock(self) -> Any:
        return self._sock

    @sock.setter
    def sock(self, socket_: Any) -> None:
        self._sock = socket_
        if socket_ is not None:
            self._sock = self.reader = _ReadAhead(socket_)

    def open(self, endpoint: Endpoint, timeout: float) -> None:
        """Connect. Raises what websocket-client raises; a WebSocketBadStatusException has the answer's body."""
        try:
            self.connect(  # type: ignore[no-untyped-call]
                endpoint.url,
                header=endpoint.headers,
                timeout=timeout,
                redirect_limit=0,  # the headers would go along, and with them the key, to wherever it points
            )
        except websocket.WebSocketBadStatusException as error:
            if error.resp_body is None and self.reader is not None:
                error.resp_body = _rest_of_answer(self.reader, error)
            raise
        finally:
            if self.reader is not None:
                self.reader.stays_open = False
                if not self.connected:
                    self.reader.close()


class _Rest(io.RawIOBase):
    """A head of an answer, and behind it what a socket has still to give; http.client takes it for a socket."""

    def __init__(self, head: bytes, reader: _ReadAhead) -> None:
        self._head = head
        self._reader = reader
        self._until = time.monotonic() + ANSWER_TIMEOUT

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        part, self._head = self._head[: len(view)], self._head[len(view) :]
        if not part:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._reader.settimeout(left)
            part = self._reader.recv(len(view))
        view[: len(part)] = part
        return len(part)


def _rest_of_answer(reader: _ReadAhead, error: websocket.WebSocketBadStatusException) -> bytes:
    """The body of a handshake's answer, behind its headers; what of it came in time, and not more than MAX_ANSWER."""
    coding = (error.resp_headers or {}).get("transfer-encoding")
    lines = [f"HTTP/1.1 {error.status_code} -", *([f"Transfer-Encoding: {coding}"] if coding else []), "", ""]
    body = b""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        rest = _Rest("\r\n".join(lines).encode(), reader)
        answer = http.client.HTTPResponse(cast("socket.socket", rest))
        answer.begin()
        while part := answer.read1(MAX_ANSWER - len(body)):
            body += part
    return body


def connect(endpoint: Endpoint, *, timeout: float, stop: threading.Event) -> WebSocketConnection | None:
    """An open WebSocket, or None when told to stop. `timeout` is for look-up, TCP, TLS and handshake together.

    Raises HandshakeFailedError, UnreachableError when nobody answers at all, and ConnectionLostError when it is not
    open in time, or for any other reason.
    """
    socket_ = _WebSocket(
        skip_utf8_validation=True,  # the bytes are kept as they came, and decoding validates them
        sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)],
    )
    # In a thread of its own, since a name look-up and a TLS handshake cannot be interrupted, only left alone.
    opening: concurrent.futures.Future[None] = concurrent.futures.Future()
    threading.Thread(target=_open, args=(socket_, endpoint, timeout, opening), name="connect", daemon=True).start()
    deadline = time.monotonic() + timeout
    while not stop.is_set() and time.monotonic() < deadline:
        if concurrent.futures.wait((opening,), timeout=_POLL).done:
            break
    if opening.cancel():
        _wake(socket_)
        if stop.is_set():
            return None
        raise ConnectionLostError(f"cannot connect: not done within {timeout:g} s")
    try:
        opening.result()
    except websocket.WebSocketBadStatusException as error:
        raise HandshakeFailedError(HandshakeAnswer(error.status_code, error.resp_body or b"")) from error
    except ssl.SSLCertVerificationError as error:
        raise ConnectionLostError(f"TLS certificate not accepted: {error.verify_message}") from error
    except (websocket.WebSocketException, OSError, ValueError, LookupError) as error:
        # The last two are what the library makes of a host or an answer that cannot be one.
        away = isinstance(error, OSError | websocket.WebSocketAddressException)
        kind = UnreachableError if away and not isinstance(error, ssl.SSLError) else ConnectionLostError
        raise kind(f"cannot connect: {describe(error)}") from error
    assert socket_.reader is not None
    return WebSocketConnection(socket_, socket_.reader)


def _open(socket_: _WebSocket, endpoint: Endpoint, timeout: float, opening: concurrent.futures.Future[None]) -> None:
    """Connect, unless `opening` is cancelled meanwhile: then nobody wants the socket any more."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        try:
            socket_.open(endpoint, timeout)
        except Exception as error:  # noqa: BLE001  (raised again by whoever waits)
            opening.set_exception(error)
        else:
            opening.set_result(None)
            return
    socket_.shutdown()  # type: ignore[no-untyped-call]


def _wake(socket_: _WebSocket) -> None:
    """End the handshake that another thread is reading."""
    if socket_.reader is not None:
        with contextlib.suppress(OSError):
            socket_.reader.shutdown(socket.SHUT_RDWR)


def describe(error: BaseException) -> str:
    """What an error says, or else what it is."""
    return str(error) or type(error).__name__


def _lost(error: Exception) -> ConnectionLostError:
    return ConnectionLostError(f"connection lost: {describe(error)}")
