"""What is sent: frames of both providers, and for each event in them what must become of it."""

from __future__ import annotations

import enum
import json
import random
import time
from typing import Any, NamedTuple

STOCKS, OPTIONS, PRICES = "stocks", "options", "prices"

SYMBOLS = {
    STOCKS: ("AAPL", "MSFT", "BRK.B", "BACpB"),
    OPTIONS: ("O:SPY261220P00720000", "O:AAPL270115C00200000"),
    PRICES: ("NVDA", "ÆRØ", "BTC/USD"),
}
"""The symbols that are sent of each feed."""

ASKED = {**SYMBOLS, OPTIONS: ("*",)}
"""The symbols that each feed asks for; with options, all of the market."""

_DAY = 86_400


class Fate(enum.Enum):
    """What must become of an event that reaches the platform."""

    STORED = "stored"
    """As a row, as often as the market has it, however often it is sent."""
    REJECTED = "rejected"
    """In rejected_event, at least once."""


class Key(NamedTuple):
    """A tick as its row must be."""

    feed: str
    symbol: str
    microseconds: int
    price: float
    size: float | None
    trade_id: str | None


class Event(NamedTuple):
    """One event of the market."""

    feed: str
    fate: Fate
    key: Key | str
    """A text that is in the bytes of an event that must be rejected."""


class MarketFrame(NamedTuple):
    """A message of a feed, and its events."""

    feed: str
    payload: bytes
    events: tuple[Event, ...]
    is_text: bool = True


class Market:
    """Makes frames. Times are those of this process's clock, which is taken to be right."""

    def __init__(self, rng: random.Random, *, begin: int = 0) -> None:
        """Prices are unique; they are numbered from `begin` on."""
        self._rng = rng
        self._made = begin

    def frame(self, feed: str) -> MarketFrame:
        """An ordinary frame: with Polygon a few trades, with Twelve Data a price."""
        if feed == PRICES:
            return self._price()
        trades = [self._trade(feed) for _ in range(self._rng.randint(1, 4))]
        if self._rng.random() < 0.3:
            # Equal ones: an option has no id, and one id for all says nothing.
            trades += [trades[-1]] * self._rng.randint(1, 2) if feed == OPTIONS else []
        return self._of(feed, trades)

    def every_symbol(self, feed: str) -> list[MarketFrame]:
        """An event of each symbol."""
        if feed == PRICES:
            return [self._price(symbol) for symbol in SYMBOLS[feed]]
        return [self._of(feed, [self._trade(feed, symbol) for symbol in SYMBOLS[feed]])]

    def twice(self) -> list[MarketFrame]:
        """The same price twice, which is two events: Twelve Data numbers nothing."""
        return [self._price()] * 2

    def constant_ids(self) -> MarketFrame:
        """Different trades that have one id."""
        return self._of(STOCKS, [self._trade(STOCKS, trade_id="0") for _ in range(4)])

    def late(self, feed: str, begin: int) -> list[MarketFrame]:
        """Frames of an hour that is over, from these seconds since 1970 on; not in the order of their times."""
        at = [begin + minute * 60 for minute in self._rng.sample(range(60), 12) for _ in range(3)]
        if feed == PRICES:
            return [self._price(at=second + self._rng.randrange(60)) for second in at]
        # Of different times, so that the market's own order is known.
        milliseconds = self._rng.sample(range(60_000), len(at))
        trades = [self._trade(feed, at=second * 1000 + more) for second, more in zip(at, milliseconds, strict=True)]
        return [self._of(feed, trades[place : place + 3]) for place in range(0, len(trades), 3)]

    def heavy(self, feed: str, size: int) -> MarketFrame:
        """A frame with an event, and so many bytes that say nothing."""
        note = "x" * size
        return self._price(note=note) if feed == PRICES else self._of(feed, [self._trade(feed, note=note)])

    def poison(self, feed: str) -> list[MarketFrame]:
        """Frames with an event that cannot be stored, each beside good ones where the protocol allows that."""
        if feed == PRICES:
            return [self._poisoned_price(fields) for fields in _poisons("price", "timestamp", "symbol", 1)] + [
                self._malformed(feed, payload) for payload in (b"\xff\xfe{}", b'{"event":"price","symbol":"NVDA"', b"")
            ]
        found = []
        for fields in _poisons("p", "t", "sym", 1000):
            bad, event = self._poisoned_trade(feed, fields)
            (before, first), (after, last) = self._trade(feed), self._trade(feed)
            payload = json.dumps([before, bad, after]).encode()
            found.append(MarketFrame(feed, _with_numbers(payload), (first, event, last)))
        return found + [
            self._malformed(feed, payload)
            for payload in (b"\xff\xfe[]", b'[{"ev":"T"', b"[" * 5_000, b'[{"ev":"T","sym":"\xff"}]')
        ]

    def odd(self, feed: str) -> list[MarketFrame]:
        """Frames whose optional fields cannot be stored; the prices can."""
        if feed == PRICES:
            return [self._price(day_volume=value) for value in (1.3e308, "", "N/A", {}, [1])]
        found = [self._trade(feed, sizeless=value) for value in ("N/A", {}, "NaN")] if feed == STOCKS else []
        if feed == STOCKS:
            found += [self._trade(feed, trade_id="A\0B", stored_id=None), self._trade(feed, trade_id="L" * 4_000)]
        return [self._of(feed, [each, self._trade(feed)]) for each in found]

    def control(self, feed: str) -> MarketFrame:
        """A frame without market data."""
        if feed == PRICES:
            payload = json.dumps({"event": "surprise", "status": "ok"})
        else:
            payload = json.dumps([{"ev": "XYZ", "note": "nobody knows it"}])
        return MarketFrame(feed, payload.encode(), ())

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _price(self, symbol: str | None = None, *, at: int | None = None, **fields: Any) -> MarketFrame:
        number, now = self._number(), int(time.time()) if at is None else at
        symbol = symbol or self._rng.choice(SYMBOLS[PRICES])
        event = {"event": "price", "symbol": symbol, "timestamp": now, "price": number, "day_volume": number, **fields}
        key = Key(PRICES, symbol, now * 1_000_000, float(number), None, None)
        return MarketFrame(PRICES, json.dumps(event).encode(), (Event(PRICES, Fate.STORED, key),))

    def _poisoned_price(self, fields: dict[str, Any]) -> MarketFrame:
        mark = self._mark()
        event = {"event": "price", "symbol": "NVDA", "timestamp": int(time.time()), "price": 1, **fields, "note": mark}
        payload = _with_numbers(json.dumps(_without_gaps(event)).encode())
        return MarketFrame(PRICES, payload, (Event(PRICES, Fate.REJECTED, mark),))

    def _trade(
        self,
        feed: str,
        symbol: str | None = None,
        *,
        trade_id: str | None = None,
        stored_id: str | None = "",
        sizeless: Any = None,
        at: int | None = None,
        **fields: Any,
    ) -> tuple[dict[str, Any], Event]:
        """`at` is in milliseconds since 1970."""
        number, now = self._number(), time.time_ns() // 1_000_000 if at is None else at
        symbol = symbol or self._rng.choice(SYMBOLS[feed])
        size = self._rng.randint(1, 500)
        event: dict[str, Any] = {"ev": "T", "sym": symbol, "x": 4, "p": number, "s": size, "t": now, "q": number}
        if feed == STOCKS:
            event |= {"i": trade_id or str(number), "z": 3}
        if sizeless is not None:
            event["s"] = sizeless
        is_known = feed == STOCKS and stored_id is not None
        key = Key(
            feed,
            symbol,
            now * 1000,
            float(number),
            float(size) if sizeless is None else None,
            event["i"] if is_known else None,
        )
        return {**event, **fields}, Event(feed, Fate.STORED, key)

    def _poisoned_trade(self, feed: str, fields: dict[str, Any]) -> tuple[dict[str, Any], Event]:
        mark = self._mark()
        trade, _ = self._trade(feed)
        return _without_gaps({**trade, **fields, "note": mark}), Event(feed, Fate.REJECTED, mark)

    def _malformed(self, feed: str, payload: bytes) -> MarketFrame:
        mark = self._mark()
        return MarketFrame(feed, payload + mark.encode(), (Event(feed, Fate.REJECTED, mark),), is_text=False)

    def _mark(self) -> str:
        return f"#{self._number()}#"

    def _of(self, feed: str, trades: list[tuple[dict[str, Any], Event]]) -> MarketFrame:
        payload = json.dumps([trade for trade, _ in trades]).encode()
        return MarketFrame(feed, payload, tuple(event for _, event in trades))


def _poisons(price: str, at: str, symbol: str, per_second: int) -> list[dict[str, Any]]:
    """Fields that spoil an event of a provider, given the names of its fields, and its units of time in a second."""
    return [
        {symbol: "A\0B"},
        # Too long for an index, which the database finds where all symbols are asked for.
        {symbol: "O:" + "".join(random.Random(5).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij", k=3_000))},
        {symbol: "NOBODY-ASKED"},
        {symbol: ...},
        {symbol: ""},
        {symbol: "\ud800X"},
        {price: ...},
        {price: None},
        {price: "dear"},
        {price: "NaN"},
        {price: "«1e999»"},
        {price: {}},
        {at: ...},
        {at: 0},
        {at: -1},
        {at: 10**30},
        {at: 9_223_372_036_854_775_807},
        {at: (int(time.time()) + _DAY) * per_second},
        {at: (int(time.time()) - 40 * 365 * _DAY) * per_second},
    ]


def _without_gaps(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if value is not ...}


def _with_numbers(payload: bytes) -> bytes:
    """Numbers that Python's json cannot write."""
    return payload.replace(json.dumps("«1e999»").encode(), b"1e999")
