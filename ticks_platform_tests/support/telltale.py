"""A provider that repeats the client's key in all ways, and everything that the database keeps of it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from urllib.parse import quote

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.feeds import CONTINUATION, TEXT, Peer

KEY = 'k7/Qm+3"wZ=p9 Lx%vT2'
FORMS = (
    KEY,
    quote(KEY, safe=""),
    json.dumps(KEY)[1:-1],
    base64.b64encode(KEY.encode()).decode().rstrip("="),
    KEY.encode().hex(),
    KEY.encode().hex().upper(),
    quote(KEY, safe="").lower(),
    base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    KEY[:12],
)


class Telltale:
    """A provider that repeats the key in a refusal, in events, in a message to close, and then refuses for good."""

    def __init__(self) -> None:
        self.connections = 0
        self.streaming = threading.Event()

    def __call__(self, peer: Peer) -> None:
        self.connections += 1
        if self.connections == 1:
            body = json.dumps({"code": 429, "message": f"{KEY} has too many requests"}).encode()
            self._chunked(peer, "429 Too Many Requests", body)
        elif self.connections == 2:
            peer.upgrade()
            for message in (
                {"event": "subscribe-status", "status": "ok", "success": [{"symbol": "AAPL"}],
                 "fails": [{"symbol": "MSFT", "message": f"not with apikey={KEY}"}, {"symbol": KEY}]},
                {"event": "status", "status": "error", "message": f"see https://h/?k={quote(KEY, safe='')}"},
                {"event": "price", "symbol": "AAPL", "price": "x", "timestamp": 1, "currency": KEY},
                {"event": "price", "symbol": KEY, "price": 1.5, "timestamp": 1_790_000_000},
                {"event": "price", "symbol": "MSFT", "price": KEY.encode().hex().upper(), "timestamp": 1},
                {"event": base64.b64encode(f"x{KEY}".encode()).decode(), "symbol": quote(KEY, safe="").lower()},
                {"event": "status", "status": "error", "message": base64.urlsafe_b64encode(KEY.encode()).decode()},
            ):  # fmt: skip
                send_in_parts(peer, json.dumps(message).encode())
            peer.send(f'{{"event":"price","symbol":"{KEY}'.encode())
            self.streaming.wait(20)
            peer.send((1008).to_bytes(2, "big") + f"bad key {KEY}".encode(), 8)
        else:
            self._chunked(peer, "401 Unauthorized", json.dumps({"code": 401, "message": f"API key {KEY}"}).encode())

    @staticmethod
    def _chunked(peer: Peer, status: str, body: bytes) -> None:
        """A response whose chunks and packets end in the middle of the key."""
        peer.read_request()
        head = f"HTTP/1.1 {status}\r\nX-Key: {quote(KEY)}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.socket.sendall(head.encode())
        for begin in range(0, len(body), 7):
            part = body[begin : begin + 7]
            peer.socket.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        peer.socket.sendall(b"0\r\n\r\n")


def dump(database: Database) -> str:
    """All rows of all tables, as text and with the bytes of binary columns."""
    parts = []
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname IN ('public', 'ticks_platform') ORDER BY 1"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT row::text FROM {table} AS row")
            parts += [text for (text,) in cursor.fetchall()]
        cursor.execute("SELECT raw FROM ticks_platform.rejected_event")
        parts += [bytes(raw).decode(errors="replace") for (raw,) in cursor.fetchall()]
    return "\n".join(parts)


def send_in_parts(peer: Peer, message: bytes, size: int = 7) -> None:
    """Send a message in fragments, which end in the middle of the key."""
    parts = [message[begin : begin + size] for begin in range(0, len(message), size)]
    for number, part in enumerate(parts):
        peer.send(part, CONTINUATION if number else TEXT, final=number == len(parts) - 1)


def found_in(places: dict[str, str]) -> list[tuple[str, str]]:
    """The places in which a form of the key is, with what is around it."""
    return [
        (place, text[max(0, text.find(form) - 300) : text.find(form) + 100])
        for place, text in places.items()
        for form in FORMS
        if form in text
    ]
