"""Polygon's REST API over HTTP on loopback, as far as a true-up asks it, with trades and bars that a test gives."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from ticks_platform.testing import PastServer

MINUTE_NS = 60 * 10**9


class Trouble(NamedTuple):
    """An answer that is no page."""

    status: int
    body: dict[str, Any]


class PolygonRest(PastServer):
    """Answers with the trades and bars of a symbol; `paths` are those of its requests, without their queries."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.trades: dict[str, list[dict[str, Any]]] = {}
        self.bars: dict[str, list[dict[str, Any]]] = {}
        self.troubles: dict[str, Trouble] = {}
        """By symbol, instead of any page."""
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """The WebSocket address whose host serves the API."""
        return f"{super().url}/stocks"

    def answer(self, target: str) -> Trouble:
        """The status and the body of a request."""
        url = urlsplit(target)
        parts, query = url.path.split("/"), parse_qs(url.query)
        self.paths.append(url.path)
        kind, symbol = (parts[2], parts[3]) if parts[2] == "trades" else (parts[2], parts[4])
        if symbol in self.troubles:
            return self.troubles[symbol]
        if kind == "trades":
            begin, end = (int(query[name][0]) for name in ("timestamp.gte", "timestamp.lt"))
            found = [each for each in self.trades.get(symbol, []) if begin <= each["sip_timestamp"] < end]
        else:
            begin, end = int(parts[8]), int(parts[9])
            found = [each for each in self.bars.get(symbol, []) if begin <= each["t"] <= end]
        return Trouble(200, {"status": "OK", "results": found})


def trade(trade_id: str, at_ns: int, price: float, size: float, **fields: Any) -> dict[str, Any]:
    """A trade as `/v3/trades` tells it."""
    event = {"id": trade_id, "price": price, "size": size, "exchange": 4, "sip_timestamp": at_ns, "tape": 3}
    return {**event, "participant_timestamp": at_ns, "sequence_number": int(trade_id), **fields}


def frame(symbol: str, *trades: dict[str, Any]) -> bytes:
    """The same trades as the WebSocket sends them."""
    return json.dumps(
        [
            {
                "ev": "T",
                "sym": symbol,
                "i": each["id"],
                "x": each["exchange"],
                "p": each["price"],
                "s": each["size"],
                "t": each["sip_timestamp"] // 10**6,
                "q": each["sequence_number"],
                "z": each["tape"],
                **({"trfi": each["trf_id"]} if "trf_id" in each else {}),
            }
            for each in trades
        ]
    ).encode()


def bar(*trades: dict[str, Any]) -> dict[str, Any]:
    """The bar of one minute's trades, which are in order."""
    prices = [each["price"] for each in trades]
    begin = trades[0]["sip_timestamp"] // MINUTE_NS * MINUTE_NS // 10**6
    return {
        "t": begin,
        "o": prices[0],
        "h": max(prices),
        "l": min(prices),
        "c": prices[-1],
        "v": sum(each["size"] for each in trades),
    }
