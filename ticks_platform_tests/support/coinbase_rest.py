"""Coinbase Exchange's `/products/{product_id}/trades` over HTTP on loopback, with the trades that a test gives."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ticks_platform.testing import PastServer


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


class CoinbaseRest(PastServer):
    """Answers with the trades of a product; `asked` are the targets of its requests."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.trades: dict[str, list[dict[str, Any]]] = {}
        self.limited = 0
        """So many requests are answered with 429."""

    def answer(self, target: str) -> tuple[int, Any]:
        """The status and the body of a request."""
        url = urlsplit(target)
        product = url.path.split("/")[2]
        if self.limited:
            self.limited -= 1
            return 429, {"message": "Public rate limit exceeded"}
        if product not in self.trades:
            return 404, {"message": "NotFound"}
        return 200, page(self.trades[product], url.query)
