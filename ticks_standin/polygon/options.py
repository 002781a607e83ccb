"""Trades and quotes of options, whose tickers are as O:SPY251219C00650000.

Sources of the facts: the official specification (.massive/websocket.json and rest.json): a trade has no id, neither on
the WebSocket nor in REST, a quote no conditions. Conditions are those of OPRA (209 automatic execution, 227 and 233
single and multi-leg auctions, 228 cross).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.market.instruments import Instrument, Kind

_TICKER = re.compile(r"O:[A-Z]{1,6}\d{6}[CP]\d{8}")
_EXCHANGES = (300, 302, 303, 312, 313, 316, 322, 323)
_CONDITIONS: tuple[tuple[int, ...], ...] = ((209,), (209,), (227,), (233,), (228,), (209, 233), ())
_MS = 1_000_000


class OptionTrade(msgspec.Struct, tag_field="ev", tag="T", kw_only=True, gc=False):
    """A trade; fields are in the order of the specification's sample."""

    sym: str
    x: int
    p: float
    s: int
    c: Sequence[int] | UnsetType = UNSET
    t: int
    q: int


_encode = msgspec.json.Encoder().encode
_decode_trade = msgspec.json.Decoder(OptionTrade).decode


def option(ticker: str) -> Instrument | None:
    """An option, made up by its ticker; None if this is no ticker of an option."""
    if not _TICKER.fullmatch(ticker):
        return None
    price = random.Random(ticker).uniform(0.5, 25.0)  # noqa: S311
    return Instrument(ticker, Kind.STOCK, round(price, 2), exchange="OPRA", volatility=2e-3, spread=0.02, mean_size=3.0)


def trade(symbol: str, price: float, time_ms: int, sequence: int, draw: random.Random) -> tuple[bytes, float, int]:
    """A trade: its JSON, its price, which moves by 5 cents, and its volume. Most are of one contract."""
    price = max(round(price * 20) / 20, 0.05)
    size = 1 if draw.random() < 0.6 else 1 + int(draw.random() ** 3 * 50)
    made = OptionTrade(
        sym=symbol,
        x=draw.choice(_EXCHANGES),
        p=price,
        s=size,
        c=draw.choice(_CONDITIONS) or UNSET,
        t=time_ms,
        q=sequence,
    )
    return _encode(made), price, size * UNITS


def twin(payload: bytes, sequence: int) -> bytes:
    """Another trade of the same moment, which differs by its sequence number alone."""
    made = _decode_trade(payload)
    made.q = sequence
    return _encode(made)


def quote(symbol: str, price: float, time_ms: int, sequence: int, draw: random.Random) -> bytes:
    """The best bid and offer."""
    half = max(price * 0.01, 0.01)
    made: dict[str, Any] = {
        "ev": "Q",
        "sym": symbol,
        "bx": draw.choice(_EXCHANGES),
        "ax": draw.choice(_EXCHANGES),
        "bp": max(round(price - half, 2), 0.01),
        "ap": round(price + half, 2),
        "bs": 1 + int(draw.random() * 40),
        "as": 1 + int(draw.random() * 40),
        "t": time_ms,
        "q": sequence,
    }
    return _encode(made)


def result(event: Event) -> dict[str, Any]:
    """One of the ``results`` of ``/v3/trades``."""
    made = _decode_trade(event.payload)
    return {
        **({"conditions": list(made.c)} if made.c else {}),
        "exchange": made.x,
        "participant_timestamp": made.t * _MS,
        "price": made.p,
        "sip_timestamp": event.time_ns,
        "size": made.s,
    }
