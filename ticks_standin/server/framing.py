"""WebSocket messages as bytes."""

from __future__ import annotations

import msgspec

_TEXT, _BINARY = 0x81, 0x82


class RawFrame(msgspec.Struct):
    """A WebSocket message to send as it is."""

    payload: bytes
    text: bool

    @classmethod
    def of(cls, message: bytes | str | RawFrame) -> RawFrame:
        """A str is text, bytes are binary."""
        if isinstance(message, RawFrame):
            return message
        text = isinstance(message, str)
        return cls(message.encode() if isinstance(message, str) else message, text)


def frame(payload: bytes, *, text: bool = True) -> bytes:
    """A whole WebSocket message as the bytes of one unmasked frame (RFC 6455, section 5.2).

    Framed here and not by ``websockets``: the same bytes go to every subscriber, many frames in one write.
    """
    opcode = _TEXT if text else _BINARY
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 1 << 16:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload
