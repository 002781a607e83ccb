"""The past that the campaign's provider tells over REST: trades of stocks as the market knows them now, and their bars.

It is made of the server's account alone. What the market took back is told here and nowhere else, as providers do.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from ticks_platform_tests.field import websocket
from ticks_platform_tests.field.market import STOCKS, Event, Fate, Key
from ticks_platform_tests.field.server import FeedServer, Sent
from ticks_platform_tests.field.websocket import Request

_MINUTE = 60_000
"""Milliseconds."""


class TakenBack(NamedTuple):
    """A trade that the market took back, and when."""

    at: float
    correct: Key | None
    """What it was meant to be; None if it was cancelled."""


class Past:
    """Answers requests for trades and for minute bars, out of what the server's market had."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server
        self.taken_back: dict[Key, TakenBack] = {}
        self.results = 0
        """How many trades and bars were told."""

    def take_back(self, key: Key, price: float | None) -> None:
        """The market cancels a trade, or corrects its price; it says so to nobody who does not ask."""
        correct = None if price is None else key._replace(price=price)
        if correct is not None:
            self._server.note(Event(STOCKS, Fate.STORED, correct))
        self.taken_back[key] = TakenBack(time.time(), correct)

    def answer(self, request: Request) -> bytes | None:
        """The answer to a request; None if it asks for something else."""
        url = urlsplit(request.target)
        parts, query = url.path.split("/"), parse_qs(url.query)
        if parts[1:3] == ["v3", "trades"]:
            begin, end = (int(query[name][0]) // 1_000_000 for name in ("timestamp.gte", "timestamp.lt"))
            results = self._trades(unquote(parts[3]), begin, end)
        elif parts[1:3] == ["v2", "aggs"]:
            results = self._bars(unquote(parts[4]), int(parts[8]), int(parts[9]) + 1)
        else:
            return None
        self.results += len(results)
        body = json.dumps({"status": "OK", "results": results}).encode()
        return websocket.response(200, body, Content_Type="application/json")

    def has(self, key: Key) -> bool:
        """Whether a trade is told: of odd ones nobody knows how they would be."""
        return key.feed == STOCKS and key.size is not None and key.trade_id is not None and len(key.trade_id) < 100

    def _known(self, symbol: str, begin: int, end: int) -> list[Sent]:
        """The trades of a time, in the order in which they happened."""
        found = [
            each
            for each in self._server.sent[:]
            if isinstance(key := each.event.key, Key)
            and key.symbol == symbol
            and self.has(key)
            and begin <= key.microseconds // 1000 < end
        ]
        return sorted(found, key=lambda each: each.event.key.microseconds if isinstance(each.event.key, Key) else 0)

    def _trades(self, symbol: str, begin: int, end: int) -> list[dict[str, Any]]:
        corrected = {each.correct for each in self.taken_back.values()}
        found = []
        for each in self._known(symbol, begin, end):
            key = each.event.key
            assert isinstance(key, Key)
            back = self.taken_back.get(key)
            if back is None:
                found.append(_trade(key, 1 if key in corrected else 0))
            elif back.correct is None:
                found.append(_trade(key, 8))
            else:
                found.append(_trade(key, 12))
        return found

    def _bars(self, symbol: str, begin: int, end: int) -> list[dict[str, Any]]:
        minutes: dict[int, list[Key]] = defaultdict(list)
        for each in self._known(symbol, begin, end):
            key = each.event.key
            assert isinstance(key, Key)
            if key not in self.taken_back:
                minutes[key.microseconds // 1000 // _MINUTE * _MINUTE].append(key)
        return [_bar(begin, keys) for begin, keys in sorted(minutes.items())]


def _trade(key: Key, correction: int) -> dict[str, Any]:
    at = key.microseconds * 1000
    told = {"id": key.trade_id, "price": key.price, "size": key.size, "exchange": 4, "tape": 3, "sequence_number": 1}
    return {
        **told,
        "sip_timestamp": at,
        "participant_timestamp": at,
        **({"correction": correction} if correction else {}),
    }


def _bar(begin: int, keys: list[Key]) -> dict[str, Any]:
    prices = [key.price for key in keys]
    return {
        "t": begin,
        "o": prices[0],
        "h": max(prices),
        "l": min(prices),
        "c": prices[-1],
        "v": sum(key.size or 0 for key in keys),
    }
