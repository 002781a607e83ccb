"""Decodes frames of Twelve Data; `connector` lists the sources of the protocol facts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import Decoded, TickColumns, decode_lines, floats
from ticks_platform.feeds.decoding import UNDECODABLE, Finite, OptionalFields, repaired
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


class _Listing(msgspec.Struct, gc=False):
    """What a ``price`` event says of its listing. Any: a value of another type must not spoil the price."""

    symbol: str = ""
    exchange: Any = None
    mic_code: Any = None
    currency: Any = None


class _Kind(msgspec.Struct):
    event: str | None = None


_price_decoder = msgspec.json.Decoder(_Price, strict=False)
_decode_price = _price_decoder.decode
_optional_fields = OptionalFields(_Price, required=("event", "symbol", "timestamp", "price"))
_listing_decoder = msgspec.json.Decoder(_Listing)
_place = attrgetter(*Place._fields)
_decode_kind = msgspec.json.Decoder(_Kind).decode


def decode_kind(frame: bytes) -> str | None:
    """The name of a frame's event; None if it has none. Raises one of UNDECODABLE."""
    return _decode_kind(frame).event


def decode(frame: bytes) -> list[Event]:
    """The event of a frame: `Tick`, `Control` or `Rejected`."""
    try:
        event = _decode_price(frame)
    except UNDECODABLE as error:
        return [_odd(frame, error)]
    if event.event != "price":
        if event.event is None and event.price is not None:
            return [Rejected("price without an event name", frame)]
        return [Control(event.event or "unnamed")]
    # Each field is read once, and no comprehension is in here: a frame takes less than a microsecond.
    symbol = event.symbol
    timestamp = event.timestamp
    price = event.price
    if not symbol or timestamp is None or price is None:
        return [_incomplete(event, frame)]
    return [
        Tick(
            symbol if symbol.isupper() else symbol.upper(),
            timestamp * SECOND if isinstance(timestamp, int) else _nanoseconds(timestamp),
            price,
            event.day_volume,
            None,
            event.bid,
            event.ask,
        )
    ]


def decode_many(frames: Sequence[bytes]) -> Decoded | None:
    """The ticks of many frames by column; None unless every frame is a price with a time in whole seconds."""
    items = decode_lines(_price_decoder.decode_lines, frames)
    if items is None or set(map(attrgetter("event"), items)) != {"price"}:
        return None
    symbols = Coded.of(list(map(attrgetter("symbol"), items)))
    times, prices = (list(map(attrgetter(field), items)) for field in ("timestamp", "price"))
    if not all(symbols.values) or set(map(type, times)) != {int} or None in prices:
        return None
    volume, bid, ask = (floats(list(map(attrgetter(field), items))) for field in ("day_volume", "bid", "ask"))
    return Decoded(
        TickColumns(
            symbols.map(str.upper),
            np.array(times, np.int64) * SECOND,
            np.array(prices, np.float64),
            day_volume=volume,
            bid=bid,
            ask=ask,
        ),
        [1] * len(items),
    )


def decode_named(frame: bytes, names: Names) -> list[Event]:
    """As `decode`, of a feed whose names a price's symbol alone does not tell."""
    (event,) = decode(frame)
    if not isinstance(event, Tick):
        return [event]
    try:
        listing = _listing_decoder.decode(frame)
    except UNDECODABLE as error:
        readable = repaired(frame)
        if readable is None:
            return [Rejected(f"malformed frame: {error}", frame)]
        listing = _listing_decoder.decode(readable)
    found = names.find(Place(*_place(listing)))
    if isinstance(found, Misfit):
        return [Rejected(found.reason, frame)]
    return [msgspec.structs.replace(event, symbol=found)]


def decode_many_named(frames: Sequence[bytes], names: Names) -> Decoded | None:
    """As `decode_many`, of such a feed; None also if a price belongs to no name."""
    decoded = decode_many(frames)
    if decoded is None or not isinstance(decoded.events, TickColumns):
        return None
    try:
        places = Coded.of(list(map(_place, decode_lines(_listing_decoder.decode_lines, frames) or ())))
    except TypeError:  # one has a list or an object
        return None
    found = [names.find(Place(*place)) for place in places.values]
    if len(places) < len(frames) or any(isinstance(name, Misfit) for name in found):
        return None
    return Decoded(dataclasses.replace(decoded.events, symbol=Coded(places.codes, found)), decoded.counts)


def _incomplete(event: _Price, frame: bytes) -> Rejected:
    missing = [name for name in ("symbol", "timestamp", "price") if getattr(event, name) in (None, "")]
    return Rejected(f"price event without {', '.join(missing)}", frame)


def _nanoseconds(seconds: float) -> int:
    """Nanoseconds of a time with a fraction, which is not documented. Multiplying it at once would not be exact."""
    whole, fraction = divmod(seconds, 1.0)
    return int(whole) * SECOND + round(fraction * SECOND)


def _odd(frame: bytes, error: Exception) -> Event:
    """The event of a frame that is no ordinary price.

    `Control` if it has another event name, a tick without those optional fields that cannot be read, else `Rejected`.
    """
    readable = repaired(frame) or frame
    with contextlib.suppress(*UNDECODABLE):
        kind = decode_kind(readable)
        if kind is not None and kind != "price":
            return Control(kind)
    malformed: tuple[str, ...] = ()
    try:
        event = _decode_price(readable)
    except UNDECODABLE:
        try:
            event, malformed = _optional_fields.decode(readable)
        except UNDECODABLE:
            return Rejected(f"malformed frame: {error}", frame)
    if event.event is None or not event.symbol or event.timestamp is None or event.price is None:
        return _incomplete(event, frame) if event.event else Rejected(f"malformed frame: {error}", frame)
    time = event.timestamp * SECOND if isinstance(event.timestamp, int) else _nanoseconds(event.timestamp)
    return Tick(
        event.symbol.upper(),
        time,
        event.price,
        event.day_volume,
        bid=event.bid,
        ask=event.ask,
        malformed=malformed or None,
    )
