"""Those who look: what each has still to get, bounded, so that a slow one costs no memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from ticks_platform.live.series import Key

MOST = 200
"""Viewers at the same time."""

WAITING = 20
"""Messages that may wait for a viewer. One that is farther behind skips them, and gets the newest of everything."""


class TooManyViewersError(Exception):
    """MOST viewers look already."""


def message(event: str, content: object) -> bytes:
    """A server-sent event. It is encoded once for all viewers."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode(content))


class Viewer:
    """One open stream."""

    def __init__(self, symbol: str | None, interval: str, snapshot: Callable[[Key | None], list[bytes]]) -> None:
        """`snapshot` gives all that somebody who looks at a series has to know."""
        self.symbol = symbol
        """What was asked for; None means whichever comes first."""
        self.interval = interval
        self.key: Key | None = None
        """The series, once symbols are known."""
        self.ended = False
        self._snapshot = snapshot
        self._messages: deque[bytes] = deque(snapshot(None))
        self._arrived = asyncio.Event()
        self._arrived.set()

    def look_at(self, key: Key) -> None:
        """Show this series from now on."""
        self.key = key
        self._messages.clear()
        self._messages.extend(self._snapshot(key))
        self._arrived.set()

    def put(self, content: bytes) -> None:
        """Send this as soon as the viewer takes it."""
        if len(self._messages) >= WAITING:
            # What waited is older than the newest of everything.
            self._messages.clear()
            self._messages.extend(self._snapshot(self.key))
        else:
            self._messages.append(content)
        self._arrived.set()

    def end(self) -> None:
        """Let the stream end; the browser opens another one by itself."""
        self.ended = True
        self._arrived.set()

    async def next(self, seconds: float) -> bytes | None:
        """What waits, as one piece; empty after this time without anything, None at the end."""
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except asyncio.TimeoutError:
            return b""
        if self.ended:
            return None
        self._arrived.clear()
        content = b"".join(self._messages)
        self._messages.clear()
        return content


class Viewers:
    """All viewers."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self.arrived = asyncio.Event()
        """Set while somebody looks."""

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(tuple(self._viewers))

    def add(self, viewer: Viewer) -> None:
        """Somebody looks. Raises TooManyViewersError."""
        if len(self._viewers) >= MOST:
            raise TooManyViewersError
        self._viewers.add(viewer)
        self.arrived.set()

    def remove(self, viewer: Viewer) -> None:
        """Somebody has left."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self.arrived.clear()

    def broadcast(self, content: bytes, key: Key | None = None) -> None:
        """Send this to all, or to those who look at a series."""
        for viewer in self._viewers:
            if key is None or viewer.key == key:
                viewer.put(content)

    def watched(self) -> set[Key]:
        """The series that somebody looks at."""
        return {viewer.key for viewer in self._viewers if viewer.key is not None}
