"""A feed server: Polygon's and Twelve Data's protocols, and an account of what it handed to each socket.

Sources of the protocols: the connectors' module docstrings. Nothing here is shared with `ticks_standin`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ticks_platform_tests.field import websocket
from ticks_platform_tests.field.market import OPTIONS, PRICES, STOCKS, Event, MarketFrame
from ticks_platform_tests.field.websocket import BINARY, CLOSE, PING, PONG, TEXT, Request

KEY = "the-key-of-the-field-campaign"

PATHS = {STOCKS: "/stocks", OPTIONS: "/options", PRICES: "/v1/quotes/price"}


class Sent(NamedTuple):
    """An event of the market, and the connections to which it was handed."""

    event: Event
    at: float
    """When the market had it, in seconds since the Unix epoch."""
    handed: list[float]
    """When it was handed to a socket, for each time that it was."""


class Answer(NamedTuple):
    """How a handshake is refused."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Handshake(NamedTuple):
    """A handshake that was seen."""

    feed: str
    at: float
    """Seconds on the monotonic clock."""
    refused: Answer | None


class Connection:
    """One client. A thread reads its messages, another one writes what is queued."""

    def __init__(self, feed: str, connection: socket.socket, reader: websocket.Reader, server: FeedServer) -> None:
        self.feed = feed
        self.is_subscribed = False
        self._socket = connection
        self._reader = reader
        self._server = server
        self._outgoing: queue.SimpleQueue[tuple[bytes, tuple[Sent, ...]] | None] = queue.SimpleQueue()
        self._write_lock = threading.Lock()
        self._writer = threading.Thread(target=self._write, daemon=True)

    def serve(self) -> None:
        """Talk to the client until the connection ends."""
        self._writer.start()
        try:
            if self.feed != PRICES:
                self._say([{"ev": "status", "status": "connected", "message": "Connected Successfully"}])
            for opcode, payload in self._reader.messages():
                if opcode == PING:
                    self._queue(websocket.frame(PONG, payload))
                elif opcode == CLOSE:
                    self._queue(websocket.frame(CLOSE, payload[:2]))
                    break
                elif opcode in (TEXT, BINARY):
                    self._hear(json.loads(payload))
        except OSError:
            pass
        finally:
            self.is_subscribed = False
            self._outgoing.put(None)
            self._writer.join(5)
            self._socket.close()

    def send(self, frame: MarketFrame, sent: tuple[Sent, ...], parts: int) -> None:
        """Queue a frame of the market."""
        opcode = TEXT if frame.is_text else BINARY
        self._queue(websocket.message(opcode, frame.payload, parts), sent)

    def say(self, message: object) -> None:
        """Queue something that the provider says."""
        self._say([message] if self.feed != PRICES else message)

    def close(self, code: int, reason: str = "") -> None:
        """Close with a handshake, behind what is queued."""
        self._queue(websocket.frame(CLOSE, struct.pack("!H", code) + reason.encode()))

    def drop(self) -> None:
        """Reset it, whatever is queued."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _say(self, message: object) -> None:
        self._queue(websocket.frame(TEXT, json.dumps(message).encode()))

    def _queue(self, data: bytes, sent: tuple[Sent, ...] = ()) -> None:
        self._outgoing.put((data, sent))

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (item := self._outgoing.get()) is not None:
                data, sent = item
                now = time.time()
                for each in sent:
                    each.handed.append(now)
                self._socket.sendall(data)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _hear(self, message: dict[str, str]) -> None:
        words = self._server.words[self.feed]
        if message["action"] == "auth":
            good = message["params"] == KEY
            status = ("auth_success", "authenticated") if good else ("auth_failed", "authentication failed")
            self._say([{"ev": "status", "status": status[0], "message": status[1]}])
        elif message["action"] == "heartbeat":
            self._say({"event": "heartbeat", "status": "ok"})
        elif message["action"] == "subscribe":
            if words:
                # Said instead of an acknowledgement; the client has to ask again.
                self._say(words.popleft())
                return
            self._server.subscribe(self, lambda: self._acknowledge(message))

    def _acknowledge(self, message: dict[str, str]) -> None:
        if self.feed == PRICES:
            asked = message["params"]["symbols"].split(",")  # type: ignore[index]
            found = [{"symbol": symbol, "exchange": "NASDAQ", "type": "Common Stock"} for symbol in asked]
            self._say({"event": "subscribe-status", "status": "ok", "success": found, "fails": None})
        else:
            channels = message["params"].split(",")
            self._say([{"ev": "status", "status": "success", "message": f"subscribed to: {each}"} for each in channels])


class FeedServer:
    """The server. A context manager."""

    def __init__(self, seed: int) -> None:
        self.sent: list[Sent] = []
        """All events of the market, in order, from a feed's first subscription on."""
        self.handshakes: list[Handshake] = []
        self.refusals: dict[str, deque[Answer]] = defaultdict(deque)
        """How the next handshakes of a feed are answered."""
        self.words: dict[str, deque[object]] = defaultdict(deque)
        """What is said instead of the next acknowledgements of a feed."""
        self.is_away = False
        """Whether connections are reset before the handshake."""
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._open: list[Connection] = []
        self._begun: set[str] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.rest: Callable[[Request], bytes | None] = lambda _request: None
        """Answers requests that are no handshakes."""

    def __enter__(self) -> FeedServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def url(self, feed: str) -> str:
        """Where a feed is served."""
        return f"ws://127.0.0.1:{self.port}{PATHS[feed]}"

    def subscribe(self, connection: Connection, acknowledge: Callable[[], None]) -> None:
        """Hand a connection all that the market has from its acknowledgement on.

        What the market had before the first subscription of a feed was not asked for.
        """
        with self._lock:
            acknowledge()
            connection.is_subscribed = True
            self._begun.add(connection.feed)

    def subscribed(self, feed: str) -> int:
        """How many open connections of a feed are subscribed."""
        return sum(each.is_subscribed for each in self._of(feed))

    def send(self, *frames: MarketFrame) -> None:
        """The market has these events: hand them to every connection that is subscribed."""
        for frame in frames:
            self._send(frame)

    def _send(self, frame: MarketFrame) -> tuple[Sent, ...]:
        with self._lock:
            now = time.time()
            sent = tuple(Sent(event, now, []) for event in frame.events)
            if frame.feed in self._begun:
                self.sent += sent
            parts = self._rng.choice((1, 1, 1, 1, 2, 3))
            for connection in self._open:
                if connection.feed == frame.feed and connection.is_subscribed:
                    connection.send(frame, sent, parts)
        return sent

    def note(self, event: Event) -> None:
        """The market has an event, and hands it to nobody."""
        with self._lock:
            self.sent.append(Sent(event, time.time(), []))

    def send_and_keep(self, *frames: MarketFrame) -> list[tuple[MarketFrame, tuple[Sent, ...]]]:
        """As `send`; returns what `send_again` needs."""
        kept = []
        for frame in frames:
            kept.append((frame, self._send(frame)))
        return kept

    def send_again(self, frames: Iterable[tuple[MarketFrame, tuple[Sent, ...]]]) -> None:
        """Send what was sent before; the market has nothing new."""
        for frame, sent in frames:
            for connection in self._of(frame.feed):
                if connection.is_subscribed:
                    connection.send(frame, sent, 1)

    def say(self, feed: str, message: object) -> None:
        """Say something on the connections of a feed."""
        for connection in self._of(feed):
            connection.say(message)

    def close(self, code: int, reason: str = "", feeds: Iterable[str] = PATHS) -> None:
        """Close connections with a handshake."""
        for feed in feeds:
            for connection in self._of(feed):
                connection.is_subscribed = False
                connection.close(code, reason)

    def drop(self, feeds: Iterable[str] = PATHS) -> None:
        """Reset connections."""
        for feed in feeds:
            for connection in self._of(feed):
                connection.is_subscribed = False
                connection.drop()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Reset every connection, old and new, within the block."""
        self.is_away = True
        self.drop()
        try:
            yield
        finally:
            self.is_away = False

    def _of(self, feed: str) -> list[Connection]:
        with self._lock:
            return [each for each in self._open if each.feed == feed]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), client:
            reader = websocket.Reader(client)
            if self.is_away:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            request = reader.request()
            if "sec-websocket-key" not in request.headers:
                client.sendall(self.rest(request) or websocket.response(404))
                return
            feed = next(feed for feed, path in PATHS.items() if request.target.partition("?")[0] == path)
            refusal = self._refusal(feed, request)
            self.handshakes.append(Handshake(feed, time.monotonic(), refusal))
            if refusal is not None:
                client.sendall(websocket.response(refusal.status, refusal.body, **dict(refusal.headers)))
                return
            client.sendall(websocket.accepted(request))
            connection = Connection(feed, client, reader, self)
            with self._lock:
                self._open.append(connection)
            try:
                connection.serve()
            finally:
                with self._lock:
                    self._open.remove(connection)

    def _refusal(self, feed: str, request: Request) -> Answer | None:
        if feed == PRICES and request.headers.get("x-td-apikey") != KEY:
            return Answer(401, b'{"code":401,"message":"apikey parameter is incorrect","status":"error"}')
        return self.refusals[feed].popleft() if self.refusals[feed] else None
