"""A socket that is read in large pieces, and the messages that lie whole in what was read."""

from __future__ import annotations

import math
import select
from typing import Any

import websocket

from ticks_platform.feeds.transport.clock import boottime

READ_SIZE = 1 << 18
"""Bytes per read. websocket-client reads two bytes, then the rest of the frame: each read is a system call and releases
the GIL, which limits reading while another thread decodes."""

_TEXT, _BINARY = (0x80 | opcode for opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY))
"""First bytes of a frame that is a whole data message: final, no extension bits (RFC 6455, section 5.2)."""

_TWO_BYTES, _EIGHT_BYTES = 126, 127
"""What the second byte of a frame is if the length follows it. A masked frame has a greater one."""


class BufferedSocket:
    """A socket with a large read buffer; everything else is delegated to the socket."""

    def __init__(self, socket_: Any, *, max_handshake_bytes: int) -> None:
        self._socket = socket_
        self._max_handshake_bytes = max_handshake_bytes
        self._buffer = b""
        self._position = 0
        self.deadline = math.inf
        """When reads time out, in seconds since boot. websocket-client has no timeout for a whole message, only for
        each read."""
        self.ignore_close = True
        """Whether `close` does nothing: websocket-client closes a refused handshake before its body is read."""
        self.handshake_left: int | None = max_handshake_bytes
        """Bytes that may still be read of the response to the handshake; None after it."""

    def close(self) -> None:
        if not self.ignore_close:
            self._socket.close()

    def recv(self, size: int) -> bytes:
        if self._position >= len(self._buffer):
            if boottime() >= self.deadline:
                raise TimeoutError
            self._buffer = self._socket.recv(READ_SIZE)
            self._position = 0
        part = self._buffer[self._position : self._position + size]
        self._position += len(part)
        if self.handshake_left is not None:
            self.handshake_left -= len(part)
            if self.handshake_left < 0:
                raise websocket.WebSocketException(
                    f"the response to the handshake is larger than {self._max_handshake_bytes >> 10} KB"
                )
        return part

    @property
    def has_frame(self) -> bool:
        """Whether a whole frame is buffered."""
        buffer, at = self._buffer, self._position
        if len(buffer) - at < 2:
            return False
        length, begin = buffer[at + 1] & 0x7F, at + 2
        if length >= _TWO_BYTES:
            begin = at + (4 if length == _TWO_BYTES else 10)
            length = int.from_bytes(buffer[at + 2 : begin], "big")
        return begin + length <= len(buffer)

    @property
    def has_pending_bytes(self) -> bool:
        """Whether the system has received bytes that were not read yet."""
        pending = getattr(self._socket, "pending", None)
        if pending is not None and pending():
            return True
        poll = select.poll()  # select() fails for file descriptors above 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def take_messages(self, most: int, most_bytes: int) -> list[bytes]:
        """The next messages that are buffered whole, in order: at most so many, of so many bytes together.

        Anything but a whole, unmasked data message of less than 64 KB ends them: a control frame, a fragment, a frame
        that is cut off. websocket-client reads that.
        """
        # One loop, since it runs for every message of a feed: 0.3 us for each.
        buffer, at, left = self._buffer, self._position, most_bytes
        size = len(buffer)
        messages: list[bytes] = []
        while at + 2 <= size and len(messages) < most:
            first, length, begin = buffer[at], buffer[at + 1], at + 2
            if first != _TEXT and first != _BINARY:
                break
            if length >= _TWO_BYTES:
                if length > _TWO_BYTES or at + 4 > size:
                    break
                length, begin = buffer[begin] << 8 | buffer[begin + 1], at + 4
            end = begin + length
            left -= length
            if end > size or left < 0:
                break
            messages.append(buffer[begin:end])
            at = end
        self._position = at
        return messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
