"""Frames on their way from the receiving thread to the loader, in order, each at its position."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from ticks_platform.feeds.events import Frame


class PositionedFrame(NamedTuple):
    """A frame and where it stands in the feed's stream."""

    position: int
    """How many bytes of frames came before it: unique, rising, and with room below the next for each event's index."""
    received_at: int
    data: bytes


class BufferClosedError(Exception):
    """The buffer takes no more frames."""


class FrameBuffer:
    """A first-in first-out buffer, bounded in bytes: when it is full, appending waits, and the socket is not read."""

    def __init__(self, *, start: int, max_bytes: int = 64 << 20) -> None:
        """`start` is the position of the first frame: where the checkpoint left off."""
        self._frames: deque[PositionedFrame] = deque()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._next = start
        self._closed = False
        self._changed = threading.Condition()

    @property
    def depth_bytes(self) -> int:
        """Bytes of frames that wait to be loaded."""
        return self._bytes

    def append(self, frame: Frame) -> None:
        """Add a frame, waiting while the buffer is full. Raises BufferClosedError once it is closed."""
        with self._changed:
            while self._bytes >= self._max_bytes and not self._closed:
                self._changed.wait()
            if self._closed:
                raise BufferClosedError
            self._frames.append(PositionedFrame(self._next, frame.received_at, frame.data))
            # An empty frame moves the position too, or the next frame would stand at the same one.
            size = max(1, len(frame.data))
            self._next += size
            self._bytes += size
            if len(self._frames) == 1:
                self._changed.notify_all()

    def take(self, *, max_frames: int, linger: float, wait: float) -> list[PositionedFrame]:
        """Remove up to `max_frames`, oldest first: wait up to `wait` seconds for the first, then `linger` for company.

        Returns an empty list when none came, or when the buffer is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed, wait)
            if not self._frames:
                return []
            if not self._closed and len(self._frames) < max_frames:
                until = time.monotonic() + linger
                self._changed.wait_for(lambda: self._closed or time.monotonic() >= until, linger)
            taken = [self._frames.popleft() for _ in range(min(max_frames, len(self._frames)))]
            self._bytes -= sum(max(1, len(frame.data)) for frame in taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take no more frames; those that are in can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def drained(self) -> bool:
        """Closed, and nothing left to take."""
        with self._changed:
            return self._closed and not self._frames
