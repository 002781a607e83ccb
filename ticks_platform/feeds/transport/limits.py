"""The size limit of a WebSocket message, also of one in fragments: websocket-client has none."""

from __future__ import annotations

from collections.abc import Callable

import websocket
from websocket import ABNF

MAX_MESSAGE_BYTES = 16 << 20
"""Default limit. The providers keep their messages below 1 MB, the limit of their own clients."""

MAX_HANDSHAKE_BYTES = 1 << 17
"""Bytes of a response to the handshake, its body included."""

MAX_PROXY_ANSWER_BYTES = 1 << 14
"""Bytes of the head of a proxy's answer."""


class MessageTooLargeError(websocket.WebSocketException):
    """A message is larger than the limit."""


class LimitedFrames(websocket.frame_buffer):
    """Refuses a frame by the length in its header, before its payload is read."""

    def __init__(self, recv: Callable[[int], bytes], fragments: LimitedFragments) -> None:
        super().__init__(recv, skip_utf8_validation=True)
        self._fragments = fragments

    def recv_length(self) -> None:
        super().recv_length()
        self._fragments.check(self.length or 0)


class LimitedFragments(websocket.continuous_frame):
    """Collects the fragments of a message up to the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(fire_cont_frame=False, skip_utf8_validation=True)
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def check(self, more: int) -> None:
        """Raises MessageTooLargeError if the message would be too large with so many bytes more."""
        if self._size + more > self._limit:
            raise MessageTooLargeError(
                f"the provider sent a message of more than {self._limit / (1 << 20):.3g} MB: raise the limit "
                "max_message_megabytes of this feed in feeds.yaml, or its journal.max_megabytes where that is less "
                "than three times as much"
            )

    def add(self, frame: ABNF) -> None:
        # A list, since a message may have many small fragments, and joining each of them to the rest is quadratic.
        data = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        if data:
            self._parts.append(data)
        self._size += len(data)
        if self.cont_data is None:
            self.cont_data = [frame.opcode, b""]
            self.recving_frames = frame.opcode
        if frame.fin:
            self.cont_data[1] = b"".join(self._parts)
            self._parts, self._size = [], 0
            self.recving_frames = None
