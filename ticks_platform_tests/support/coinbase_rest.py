"""Coinbase Exchange's `/products/{product_id}/trades` over HTTP on loopback, with the trades that a test gives."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def trade(number: int, at: datetime, price: float = 100.0, size: float = 0.5, **fields: Any) -> dict[str, Any]:
    """A trade as the exchange tells it."""
    time = at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"trade_id": number, "time": time, "price": f"{price:.8f}", "size": f"{size:.8f}", "side": "sell", **fields}


def trades(count: int, begin: datetime, seconds: float, *, first: int = 1) -> list[dict[str, Any]]:
    """So many trades, evenly over so many seconds."""
    return [
        trade(first + place, begin + timedelta(seconds=seconds * place / count), 100 + place % 7)
        for place in range(count)
    ]


def page(known: Sequence[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    """What the exchange answers of trades in order: the newest first, those before `after`, 1,000 at most."""
    asked = parse_qs(query)
    end = bisect_left(known, int(asked["after"][0]), key=_number) if "after" in asked else len(known)
    return list(known[max(end - min(int(asked["limit"][0]), 1000), 0) : end][::-1])


def _number(told: dict[str, Any]) -> int:
    return int(told["trade_id"])


class CoinbaseRest:
    """Answers with the trades of a product; `asked` are the targets of its requests."""

    def __init__(self) -> None:
        self.trades: dict[str, list[dict[str, Any]]] = {}
        self.limited = 0
        """So many requests are answered with 429."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> CoinbaseRest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The WebSocket address whose host serves the API."""
        return f"ws://127.0.0.1:{self._server.server_port}"

    def answer(self, target: str) -> tuple[int, Any]:
        """The status and the body of a request."""
        self.asked.append(target)
        url = urlsplit(target)
        product = url.path.split("/")[2]
        if self.limited:
            self.limited -= 1
            return 429, {"message": "Public rate limit exceeded"}
        if product not in self.trades:
            return 404, {"message": "NotFound"}
        return 200, page(self.trades[product], url.query)


def _handler(api: CoinbaseRest) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, content = api.answer(self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
