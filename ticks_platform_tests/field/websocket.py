"""The server's side of a WebSocket, RFC 6455, over a socket: handshake, frames, fragments, close."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Iterator
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Request(NamedTuple):
    """An HTTP request without a body."""

    target: str
    headers: dict[str, str]
    """By lower-case name."""


class Reader:
    """Reads exact numbers of bytes from a socket. Raises OSError at its end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < size:
            self._more()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def request(self) -> Request:
        """The next HTTP request."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Request(first.split(" ")[1], headers)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each frame of the client; its messages are short, and never fragmented."""
        while True:
            first, second = self.exactly(2)
            length = second & 127
            if length > 125:
                length = int.from_bytes(self.exactly(2 if length == 126 else 8), "big")
            mask = self.exactly(4)
            payload = self.exactly(length)
            yield first & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))

    def _more(self) -> None:
        part = self._connection.recv(65_536)
        if not part:
            raise ConnectionResetError("the client has closed the connection")
        self._buffer += part


def accepted(request: Request) -> bytes:
    """The answer that accepts a handshake."""
    digest = hashlib.sha1(request.headers["sec-websocket-key"].encode() + _GUID).digest()
    lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}", "", ""]).encode()


def response(status: int, body: bytes = b"", **headers: object) -> bytes:
    """An HTTP answer after which the connection is closed."""
    lines = [
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def frame(opcode: int, payload: bytes, *, is_final: bool = True) -> bytes:
    """One frame of the server."""
    first = bytes([opcode | (128 if is_final else 0)])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 65_536:
        return first + b"\x7e" + len(payload).to_bytes(2, "big") + payload
    return first + b"\x7f" + len(payload).to_bytes(8, "big") + payload


def message(opcode: int, payload: bytes, parts: int = 1) -> bytes:
    """One message in so many fragments, with a ping between each two."""
    if parts <= 1 or len(payload) < parts:
        return frame(opcode, payload)
    size = -(-len(payload) // parts)
    pieces = [payload[begin : begin + size] for begin in range(0, len(payload), size)]
    frames = [
        frame(0 if place else opcode, piece, is_final=place == len(pieces) - 1) for place, piece in enumerate(pieces)
    ]
    return frame(PING, b"between").join(frames)
