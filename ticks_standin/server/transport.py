"""A connection below the WebSocket protocol: where it can be frozen, slowed down and cut off."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from websockets.asyncio.server import ServerConnection

_DRIP_S = 0.02
_CLOSE_TIMEOUT_S = 2.0


class ThrottledTransport:
    """The transport of one connection. All bytes pass it: our frames, and what ``websockets`` writes by itself."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = bytearray()
        self._frozen = False
        self._bytes_per_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._eof_at_end = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or hold back while frozen or dripping."""
        if self._closing:
            return
        if self._frozen or self._bytes_per_s or self._held:
            self._held += data
            self._schedule()
        else:
            self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        """Bytes that the client's system has not yet taken."""
        return self._transport.get_write_buffer_size() + len(self._held)

    def is_closing(self) -> bool:
        """Whether nothing more will be sent."""
        return self._closing or self._transport.is_closing()

    def write_eof(self) -> None:
        """Close the sending side once all is sent."""
        if self._held:
            self._eof_at_end = True
        else:
            self._transport.write_eof()

    def close(self) -> None:
        """End the connection, without a close frame of its own, once all is sent; at the latest after two seconds."""
        self._closing = True
        if self._held:
            self._schedule()
        else:
            self._transport.close()
        asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self.abort)

    def abort(self) -> None:
        """End the connection at once."""
        self._closing = True
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()

    def freeze(self, *, frozen: bool) -> None:
        """Send nothing more, or send again."""
        self._frozen = frozen
        self._schedule()

    def drip(self, bytes_per_s: float | None) -> None:
        """Send at most this many bytes per second; None ends the limit."""
        self._bytes_per_s = bytes_per_s
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._held and not self._frozen:
            size = min(len(self._held), max(int((self._bytes_per_s or 0) * _DRIP_S), 1))
            wait = size / self._bytes_per_s if self._bytes_per_s else 0.0
            self._timer = asyncio.get_running_loop().call_later(wait, self._release, size)

    def _release(self, size: int) -> None:
        self._timer = None
        if self._frozen or self._transport.is_closing():
            return
        # While dripping the rest stays here, or the buffer size could not tell a slow client from a dripping server.
        if not self._bytes_per_s:
            size = len(self._held)
        self._transport.write(bytes(self._held[:size]))
        del self._held[:size]
        if self._held:
            self._schedule()
        elif self._closing:
            self._transport.close()
        elif self._eof_at_end:
            self._transport.write_eof()


class Acceptor:
    """Creates the connections that ``websockets`` accepts, and knows all of them, upgraded or not."""

    def __init__(self) -> None:
        self.sockets: set[FeedSocket] = set()
        self.silent = False
        """Accept connections, and read nothing from them: they are never upgraded."""

    def create(self, *arguments: Any, **options: Any) -> FeedSocket:
        """The ``create_connection`` of ``websockets``."""
        socket = FeedSocket(*arguments, **options)
        socket.acceptor = self
        return socket

    def abort_all(self) -> None:
        """End every connection at once."""
        for socket in list(self.sockets):
            socket.throttled.abort()


class FeedSocket(ServerConnection):
    """A server's connection that can be frozen and slowed down."""

    throttled: ThrottledTransport
    acceptor: Acceptor
    _unread: list[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection was accepted."""
        self.throttled = ThrottledTransport(cast(asyncio.Transport, transport))
        self.acceptor.sockets.add(self)
        if self.acceptor.silent:
            self._unread = []
        super().connection_made(cast(asyncio.Transport, self.throttled))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.acceptor.sockets.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: they wait while the connection is frozen, pings and close frames too."""
        if self._unread is None:
            super().data_received(data)
        else:
            self._unread.append(data)

    def freeze(self, *, frozen: bool) -> None:
        """Read and send nothing, or do both again, beginning with what has waited."""
        self.throttled.freeze(frozen=frozen)
        if frozen:
            self._unread = [] if self._unread is None else self._unread
            return
        unread, self._unread = self._unread or [], None
        for data in unread:
            super().data_received(data)
