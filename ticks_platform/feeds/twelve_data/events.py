"""Decodes frames of Twelve Data; `connector` lists the sources of the protocol facts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import starmap
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ticks_platform.feeds.columns import Decoded, TickColumns, decode_lines, floats
from ticks_platform.feeds.decoding import UNDECODABLE, Finite
from ticks_platform.feeds.events import Control, Event, Rejected, Tick
from ticks_platform.feeds.twelve_data.names import Misfit, Names, Place
from ticks_platform.timestamps import SECOND

# The decoder checks in C that values fit the types of `Tick`: times must fit 64 bits of nanoseconds.
_TIME_LIMIT = (2**63 - 1) // SECOND
_IntegerSeconds = Annotated[int, Meta(ge=-_TIME_LIMIT, le=_TIME_LIMIT)]
_FractionalSeconds = Annotated[float, Meta(ge=-_TIME_LIMIT, le=_TIME_LIMIT)]


class _Price(msgspec.Struct, gc=False):
    """A ``price`` event. ``timestamp`` is in seconds UTC; which other fields there are depends on the asset class."""

    event: str | None = None
    symbol: str | None = None
    timestamp: _IntegerSeconds | _FractionalSeconds | None = None
    price: Finite | None = None
    day_volume: Finite | None = None
    bid: Finite | None = None
    ask: Finite | None = None


class _ListedPrice(_Price, gc=False):
    """A ``price`` event with what tells its listing. Any: a value of another type must not spoil the price."""

    exchange: Any = None
    mic_code: Any = None
    currency: Any = None


class _Kind(msgspec.Struct):
    event: str | None = None


_price_decoder = msgspec.json.Decoder(_Price, strict=False)
_decode_price = _price_decoder.decode
_listed_price_decoder = msgspec.json.Decoder(_ListedPrice, strict=False)
_decode_listed_price = _listed_price_decoder.decode
_place = attrgetter("symbol", "exchange", "mic_code", "currency")
_decode_kind = msgspec.json.Decoder(_Kind).decode


def decode_kind(frame: bytes) -> str | None:
    """The name of a frame's event; None if it has none. Raises one of UNDECODABLE."""
    return _decode_kind(frame).event


def decode(frame: bytes, names: Names | None = None) -> list[Event]:
    """The event of a frame: `Tick`, `Control` or `Rejected`.

    `names` are given if a price's symbol alone does not tell its name, or its currency has to be looked at.
    """
    try:
        event = _decode_price(frame) if names is None else _decode_listed_price(frame)
    except UNDECODABLE as error:
        return [_not_a_price(frame, error)]
    if event.event != "price":
        if event.event is None and event.price is not None:
            return [Rejected("price without an event name", frame)]
        return [Control(event.event or "unnamed")]
    symbol, timestamp, price = event.symbol, event.timestamp, event.price
    if not symbol or timestamp is None or price is None:
        missing = [name for name in ("symbol", "timestamp", "price") if getattr(event, name) in (None, "")]
        return [Rejected(f"price event without {', '.join(missing)}", frame)]
    if names is None:
        name = symbol.upper()
    else:
        found = names.find(Place(*_place(event)))
        if isinstance(found, Misfit):
            return [Rejected(found.reason, frame)]
        name = found
    return [
        Tick(
            name,
            timestamp * SECOND if isinstance(timestamp, int) else _nanoseconds(timestamp),
            price,
            event.day_volume,
            None,
            event.bid,
            event.ask,
        )
    ]


def decode_many(frames: Sequence[bytes], names: Names | None = None) -> Decoded | None:
    """The ticks of many frames by column; None unless every frame is a price of a name, in whole seconds."""
    decoder = _price_decoder if names is None else _listed_price_decoder
    items = decode_lines(decoder.decode_lines, frames)
    if items is None or set(map(attrgetter("event"), items)) != {"price"}:
        return None
    symbols, times, prices = (list(map(attrgetter(field), items)) for field in ("symbol", "timestamp", "price"))
    if set(map(type, times)) != {int} or None in prices:
        return None
    named = _plain_names(symbols) if names is None else _names(symbols, items, names)
    if named is None:
        return None
    volume, bid, ask = (floats(list(map(attrgetter(field), items))) for field in ("day_volume", "bid", "ask"))
    return Decoded(
        TickColumns(
            named,
            np.array(times, np.int64) * SECOND,
            np.array(prices, np.float64),
            day_volume=volume,
            bid=bid,
            ask=ask,
        ),
        [1] * len(items),
    )


def _plain_names(symbols: list[str | None]) -> list[str] | None:
    """The names of these symbols; None if one is missing."""
    different = set(symbols)
    if None in different or "" in different:
        return None
    name_of = {symbol: symbol.upper() for symbol in different if symbol}
    if all(symbol is name or symbol == name for symbol, name in name_of.items()):
        return symbols  # type: ignore[return-value]  (none is None)
    return [name_of[symbol] for symbol in symbols if symbol]


def _names(symbols: list[str | None], items: Sequence[_ListedPrice], names: Names) -> list[str] | None:
    """The names of these prices; None if one has no symbol, or belongs to no name."""
    if not all(symbols):
        return None
    found = list(map(names.find, starmap(Place, map(_place, items))))
    return None if any(isinstance(name, Misfit) for name in found) else found  # type: ignore[return-value]


def _nanoseconds(seconds: float) -> int:
    """Nanoseconds of a time with a fraction, which is not documented. Multiplying it at once would not be exact."""
    whole, fraction = divmod(seconds, 1.0)
    return int(whole) * SECOND + round(fraction * SECOND)


def _not_a_price(frame: bytes, error: Exception) -> Event:
    """The event of a frame that is not a valid price: `Control` if it has another event name, else `Rejected`."""
    with contextlib.suppress(*UNDECODABLE):
        kind = decode_kind(frame)
        if kind is not None and kind != "price":
            return Control(kind)
    return Rejected(f"malformed frame: {error}", frame)
