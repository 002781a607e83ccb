"""A provider on loopback that sends the frames of a case, and answers REST requests from it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from ticks_platform_tests.support.feeds import CLOSE, PING, PONG, TEXT, encode

PAGE = 3
"""Results of a page: few, so that there are several pages."""

MILLISECOND = 1_000_000


class Provider:
    """Speaks WebSocket as far as connectors need it, and REST as Polygon does, within a ``with`` block."""

    def __init__(
        self, *, rest: Mapping[str | None, list[dict[str, Any]]], bars: Mapping[str | None, list[dict[str, Any]]]
    ) -> None:
        self._rest = rest
        self._bars = bars
        self._lock = threading.Lock()
        self._frames: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.sent = 0
        """Frames that were sent, acknowledgements among them."""

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where feeds connect to."""
        return f"ws://127.0.0.1:{self._server.server_address[1]}/stocks"

    def play(self, frames: Sequence[bytes]) -> None:
        """Send these frames to the next client that subscribes."""
        with self._lock:
            self._frames = list(frames)
            self.sent = 0

    @property
    def played(self) -> bool:
        """Whether all frames were sent."""
        with self._lock:
            return not self._frames

    def answer(self, message: bytes, send: socket.socket) -> None:
        """Answer a client's message; the first subscription gets the frames."""
        replies, subscribes = _replies(json.loads(message))
        with self._lock:
            out = [*replies, *(self._frames if subscribes else [])]
            for payload in out:
                send.sendall(encode(payload, TEXT))
            self.sent += len(out)
            if subscribes:
                self._frames = []

    def trades(self, symbol: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of `/v3/trades/{symbol}`."""
        bounds = {key: int(query.get(f"timestamp.{key}", default)) for key, default in (("gte", 0), ("lt", 1 << 62))}
        found = [item for item in _of(self._rest, symbol) if bounds["gte"] <= _timestamp(item) < bounds["lt"]]
        found.sort(key=_timestamp, reverse=query.get("order") == "desc")
        begin = int(query.get("cursor", 0))
        body: dict[str, Any] = {"status": "OK", "results": found[begin : begin + PAGE]}
        if begin + PAGE < len(found):
            upcoming = urlencode({**query, "cursor": begin + PAGE})
            host, port = self._server.server_address[:2]
            body["next_url"] = f"http://{host!s}:{port}/v3/trades/{symbol}?{upcoming}"
        return body

    def minute_bars(self, symbol: str, begin: int, end: int) -> dict[str, Any]:
        """`/v2/aggs/ticker/{symbol}/range/1/minute/{begin}/{end}`, with times in milliseconds."""
        found = sorted((bar for bar in _of(self._bars, symbol) if begin <= bar["t"] <= end), key=lambda bar: bar["t"])
        return {"status": "OK", "ticker": symbol, "adjusted": False, "resultsCount": len(found), "results": found}


def _of(results: Mapping[str | None, list[dict[str, Any]]], symbol: str) -> list[dict[str, Any]]:
    plain = symbol.partition(":")[2] or symbol
    named = [item for key, items in results.items() if key and _plain(key) == _plain(plain) for item in items]
    return named + results.get(None, [])


def _plain(symbol: str) -> str:
    return symbol.replace("-", "").replace("/", "").removeprefix("X:").removeprefix("C:")


def _timestamp(item: Mapping[str, Any]) -> int:
    return int(item.get("sip_timestamp") or item.get("participant_timestamp") or 0)


def _replies(message: Any) -> tuple[list[bytes], bool]:
    """What a provider answers to a message, and whether the message subscribes."""
    action = message.get("action") or message.get("type")
    if action == "auth":
        return [json.dumps([{"ev": "status", "status": "auth_success", "message": "authenticated"}]).encode()], False
    if action != "subscribe":
        return [], False
    params = message.get("params")
    if isinstance(params, str):
        names = params.split(",")
        status = [{"ev": "status", "status": "success", "message": f"subscribed to: {name}"} for name in names]
        return [json.dumps(status).encode()], True
    if isinstance(params, dict):
        success = [{"symbol": name.partition(":")[0]} for name in str(params.get("symbols", "")).split(",")]
        status = {"event": "subscribe-status", "status": "ok", "success": success, "fails": []}  # type: ignore[assignment]
        return [json.dumps(status).encode()], True
    channels = [{"name": "matches", "product_ids": message.get("product_ids", [])}]
    return [json.dumps({"type": "subscriptions", "channels": channels}).encode()], True


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Upgrade", "").lower() == "websocket":
                self.close_connection = True
                with contextlib.suppress(OSError, ConnectionError):
                    self._converse()
                return
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            path = [unquote(part) for part in parts.path.strip("/").split("/")]
            if path[:2] == ["v3", "trades"] and len(path) == 3:
                self._reply(200, provider.trades(path[2], query))
            elif path[:3] == ["v2", "aggs", "ticker"] and path[4:7] == ["range", "1", "minute"] and len(path) == 9:
                self._reply(200, provider.minute_bars(path[3], int(path[7]), int(path[8])))
            else:
                self._reply(404, {"status": "NOT_FOUND", "message": "the case has no such data"})

        def _reply(self, status: int, content: Mapping[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _converse(self) -> None:
            key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
            self.end_headers()
            self.wfile.flush()
            while True:
                opcode, payload = self._receive()
                if opcode == CLOSE:
                    self.connection.sendall(encode((1000).to_bytes(2, "big"), CLOSE))
                    return
                if opcode == PING:
                    self.connection.sendall(encode(payload, PONG))
                elif opcode == TEXT:
                    provider.answer(payload, self.connection)

        def _receive(self) -> tuple[int, bytes]:
            first, second = self._read(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self._read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._read(8))
            mask = self._read(4)
            return first & 0xF, bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._read(size)))

        def _read(self, size: int) -> bytes:
            data: bytes = self.rfile.read(size)
            if len(data) < size:
                raise ConnectionError
            return data

        def log_message(self, *_arguments: object) -> None:
            """Say nothing of each request."""

    return Handler
