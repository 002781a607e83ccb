"""A running feed connection, and a server that does exactly what a test says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Frame, Notice
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_standin import StandIn

TIMEOUT = 60.0
"""Longest wait for anything, in seconds; only failures take this long."""

KEY = "5ecre7-key-0123456789"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def price(symbol: str = "AAPL", **fields: Any) -> bytes:
    """A price event as bytes, with these fields replaced."""
    event = {"event": "price", "symbol": symbol, "timestamp": 1684508044, "price": 175.6997}
    return json.dumps({**event, **fields}).encode()


def twelve_data(url: str, *, key: str = KEY) -> TwelveDataConnector:
    """A connector to a Twelve Data server at this address."""
    return TwelveDataConnector(url=url, api_key=key)


def polygon(url: str, *, key: str = KEY, **options: Any) -> PolygonConnector:
    """A connector to a Polygon server at this address."""
    return PolygonConnector(url=url, api_key=key, options=options)


def polygon_at(stand_in: StandIn, **options: Any) -> PolygonConnector:
    """A connector to the stand-in of Polygon."""
    return polygon(stand_in.url("polygon", market=options.get("market", "stocks")), **options)


def wait_until(condition: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
    """Return once the condition is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.002)


class RecordedBackoff(Backoff):
    """Records its delays."""

    def __init__(self, *, base: float = 0.01, cap: float = 0.05) -> None:
        super().__init__(base=base, cap=cap, seed=1)
        self.delays: list[float] = []

    def next_delay(self) -> float:
        self.delays.append(super().next_delay())
        return self.delays[-1]


class Running:
    """A FeedConnection in a thread, within a ``with`` block, and everything that it passed on."""

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str] = ("AAPL", "BTC/USD"),
        backoff: Backoff | None = None,
        silence: SilenceDetector | None = None,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> None:
        self.frames: list[Frame] = []
        self.largest_group = 0
        """Bytes of the frames that were passed on together, at most."""
        self.changes: list[Change] = []
        self.failure: BaseException | None = None
        self.threads: set[str] = set()
        self._on_received = on_frame
        self.connection = FeedConnection(
            connector,
            symbols=symbols,
            silence=silence,
            on_frames=self._on_frames,
            on_change=self._on_change,
            backoff=backoff or RecordedBackoff(),
        )
        self._thread = threading.Thread(target=self._run, name="receive", daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self.connection.run()
        except BaseException as error:  # noqa: BLE001  (checked by the tests)
            self.failure = error

    def _on_frames(self, frames: Sequence[Frame]) -> None:
        self.largest_group = max(self.largest_group, sum(len(frame.data) for frame in frames))
        for frame in frames:
            self._on_frame(frame)

    def _on_frame(self, frame: Frame) -> None:
        self.threads.add(threading.current_thread().name)
        if self._on_received is not None:
            self._on_received(frame)
        self.frames.append(frame)

    def _on_change(self, change: Change) -> None:
        self.threads.add(threading.current_thread().name)
        self.changes.append(change)

    def stop(self) -> float:
        """Stop it, and return the seconds that it took."""
        begin = time.monotonic()
        self.connection.stop()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "stop() had no effect"
        return time.monotonic() - begin

    def wait_for_end(self) -> BaseException | None:
        """Wait until it ends by itself, and return its exception."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "still running"
        return self.failure

    def wait_for(self, state: State, *, times: int = 1) -> Change:
        """Wait until it has entered a state that often, and return the last of these changes."""
        wait_until(lambda: self.states.count(state) >= times, f"{state} {times} times; {self.history()}")
        return [change for change in self.changes if change.notice is None and change.state is state][times - 1]

    def wait_for_notice(self, kind: type[Notice]) -> Any:
        """Wait for the first notice of that kind."""
        wait_until(
            lambda: any(isinstance(notice, kind) for notice in self.notices), f"{kind.__name__} {self.history()}"
        )
        return next(notice for notice in self.notices if isinstance(notice, kind))

    @property
    def states(self) -> list[State]:
        """Its states so far, in order."""
        return [change.state for change in list(self.changes) if change.notice is None]

    @property
    def notices(self) -> list[Notice]:
        """The notices so far, in order."""
        return [change.notice for change in list(self.changes) if change.notice is not None]

    def received(self, connection: int) -> list[bytes]:
        """The frames of one connection, in order."""
        return [frame.data for frame in list(self.frames) if frame.connection == connection]

    def last_arrival(self, connection: int) -> int:
        """Arrival of a connection's last frame, in nanoseconds since the Unix epoch."""
        return max(frame.received_at for frame in list(self.frames) if frame.connection == connection)

    def history(self) -> str:
        """All changes, for the message of a failed test."""
        return " | ".join(f"{change.connection} {change.state.value}: {change.detail}" for change in list(self.changes))


class Peer:
    """The server's side of one TCP connection to a PeerServer."""

    def __init__(self, socket_: socket.socket) -> None:
        self.socket = socket_
        self.request = b""

    def upgrade(self) -> None:
        """Read the WebSocket handshake and accept it."""
        self.read_request()
        key = next(
            line.partition(b":")[2].strip()
            for line in self.request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def read_request(self) -> None:
        while b"\r\n\r\n" not in self.request:
            received = self.socket.recv(4096)
            if not received:
                raise ConnectionError
            self.request += received

    def answer(self, status: str, body: bytes = b"", *headers: str) -> None:
        """Read the WebSocket handshake and answer with plain HTTP."""
        self.read_request()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)

    def send(self, payload: bytes, opcode: int = TEXT, *, final: bool = True) -> None:
        self.socket.sendall(encode(payload, opcode, final=final))

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the client's next frame."""
        first, second = self._read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        mask = self._read(4)
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._read(size)))
        return first & 0xF, payload

    def receive_until_end(self) -> None:
        """Read until the client disconnects; answer its close frame."""
        while True:
            if self.receive()[0] == CLOSE:
                self.send((1000).to_bytes(2, "big"), CLOSE)

    def reset(self) -> None:
        """Reset the connection, as a process does that is killed with unread data."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = self.socket.recv(size - len(data))
            if not received:
                raise ConnectionError
            data += received
        return data


def encode(payload: bytes, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """A WebSocket frame as a server sends it (RFC 6455, section 5.2)."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    if len(payload) < 1 << 16:
        return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload
    return bytes((first, 127)) + len(payload).to_bytes(8, "big") + payload


class PeerServer:
    """A TCP server on loopback, within a ``with`` block. Calls `serve` for each connection, in a thread."""

    def __init__(self, serve: Callable[[Peer], None]) -> None:
        self.accepted = 0
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[Peer] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/v1/quotes/price"

    def __enter__(self) -> PeerServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "serve() did not return"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.accepted += 1
                peer = Peer(accepted)
                thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
                self._peers.append(peer)
                thread.start()
                self._threads.append(thread)

    def _run(self, peer: Peer) -> None:
        # The client may disconnect at any time; the tests assert in their own threads.
        with contextlib.suppress(OSError), peer.socket:
            self._serve(peer)
