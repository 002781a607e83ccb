"""One client's connection: its frames out, and its part of the account."""

from __future__ import annotations

import asyncio
from collections import Counter

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode
from websockets.protocol import State

from ticks_platform.standin.account import ConnectionAccount, Ending
from ticks_platform.standin.settings import StandInSettings
from ticks_platform.standin.twelve_data import Session

_TEXT, _BINARY = 0x81, 0x82


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


class Connection:
    """Sends to one client and counts what it sent."""

    def __init__(self, number: int, key: str, socket: ServerConnection, session: Session, settings: StandInSettings):
        self.number = number
        self.key = key
        self.session = session
        self._socket = socket
        self._settings = settings
        self._idle: asyncio.TimerHandle | None = None
        self._aborted = False
        self._frames: list[bytes] = []
        self._payloads: list[bytes] = []
        self._symbols: list[str] = []
        self._frames_sent = 0
        self._symbols_sent: Counter[str] = Counter()
        self._sent: list[bytes] = []

    @property
    def unread(self) -> int:
        """Bytes handed to the transport that the client's system has not yet taken."""
        return self._socket.transport.get_write_buffer_size()

    def queue(self, framed: bytes, payload: bytes, symbol: str | None = None) -> None:
        """Put a frame in the next :meth:`flush`; ``symbol`` is that of a price event, None for any other frame."""
        self._frames.append(framed)
        if symbol is not None:
            self._symbols.append(symbol)
        if self._settings.record:
            self._payloads.append(payload)

    def flush(self) -> None:
        """Hand what is queued to the transport, and count it. Does nothing once the connection is ending."""
        if self._socket.state is State.OPEN and not self._socket.transport.is_closing():
            self._socket.transport.write(b"".join(self._frames))
            self._frames_sent += len(self._frames)
            self._symbols_sent.update(self._symbols)
            self._sent += self._payloads
            if self.unread > self._settings.slow_consumer_bytes:
                self.abort()
        self._frames.clear()
        self._symbols.clear()
        self._payloads.clear()

    def send(self, payload: bytes) -> None:
        """Send one text frame at once."""
        self.queue(frame(payload), payload)
        self.flush()

    def abort(self) -> None:
        """Drop the connection without a close frame, as Twelve Data's users report it (twelvedata-python 76 and 85)."""
        self._aborted = True
        self._socket.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Close with a closing handshake."""
        await self._socket.close(code, reason)

    def heard(self) -> None:
        """Start the time without a message of the client anew; at its end the connection is dropped."""
        self.stop_waiting()
        self._idle = asyncio.get_running_loop().call_later(self._settings.idle_timeout_s, self.abort)

    def stop_waiting(self) -> None:
        """End the idle timeout."""
        if self._idle is not None:
            self._idle.cancel()

    def account(self) -> ConnectionAccount:
        """What was sent so far."""
        ending: Ending | None = None
        if self._aborted:
            ending = "aborted"
        elif self._socket.state is State.CLOSED:
            ending = "lost" if self._socket.protocol.close_code == CloseCode.ABNORMAL_CLOSURE else "closed"
        return ConnectionAccount(
            number=self.number,
            ending=ending,
            subscribed=[instrument.symbol for instrument in self.session.subscribed],
            frames=self._frames_sent,
            price_events=self._symbols_sent.total(),
            symbols=dict(self._symbols_sent),
            sent=list(self._sent),
        )
