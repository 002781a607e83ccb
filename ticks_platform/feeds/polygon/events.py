"""Decodes frames of Polygon.io (Massive); `connector` lists the sources of the protocol facts.

A frame is an array of events of any channels. Times are milliseconds in most channels, but nanoseconds or microseconds
where the live service differs from its documentation: the magnitude tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ticks_platform.feeds.columns import Decoded, TickColumns, decode_lines, floats
from ticks_platform.feeds.decoding import UNDECODABLE, Finite
from ticks_platform.feeds.events import Bar, Control, Event, Quote, Rejected, Tick
from ticks_platform.timestamps import MILLISECOND, MINUTE, SECOND

_Int64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# The service has written whole numbers such as sizes as 1.6e12.
_Time = _Int64 | Finite


class _Trade(msgspec.Struct, tag_field="ev", tag="T", gc=False):
    """`ds` is the exact size of a trade in fractions of shares (since February 2026); `s` is rounded down then."""

    sym: str | None = None
    p: Finite | None = None
    t: _Time | None = None
    s: Finite | None = None
    ds: Finite | None = None
    i: str | int | None = None
    x: int | str | None = None
    trfi: int | None = None


class _Quote(msgspec.Struct, tag_field="ev", tag="Q", gc=False):
    sym: str | None = None
    t: _Time | None = None
    bp: Finite | None = None
    bs: Finite | None = None
    ap: Finite | None = None
    # `as` is a Python keyword.
    as_: Finite | None = msgspec.field(default=None, name="as")


class _Window(msgspec.Struct, tag_field="ev", gc=False):
    """The fields of all bars. `v` is documented as an integer, but has been seen with a fraction."""

    o: Finite | None = None
    h: Finite | None = None
    l: Finite | None = None  # noqa: E741
    c: Finite | None = None
    s: _Time | None = None
    e: _Time | None = None
    v: Finite | None = None
    vw: Finite | None = None
    dv: Finite | None = None


class _SecondBar(_Window, tag="A"):
    sym: str | None = None


class _MinuteBar(_Window, tag="AM"):
    sym: str | None = None


class _CryptoTrade(msgspec.Struct, tag_field="ev", tag="XT", gc=False):
    """`i` is a string on the live service and an integer in the documentation's sample."""

    pair: str | None = None
    p: Finite | None = None
    t: _Time | None = None
    s: Finite | None = None
    i: str | int | None = None
    x: int | str | None = None


class _CryptoQuote(msgspec.Struct, tag_field="ev", tag="XQ", gc=False):
    pair: str | None = None
    t: _Time | None = None
    bp: Finite | None = None
    bs: Finite | None = None
    ap: Finite | None = None
    as_: Finite | None = msgspec.field(default=None, name="as")
    x: int | str | None = None


class _CryptoMinuteBar(_Window, tag="XA"):
    pair: str | None = None


class _CryptoSecondBar(_Window, tag="XAS"):
    pair: str | None = None


class _ForexQuote(msgspec.Struct, tag_field="ev", tag="C", gc=False):
    """`p` is the pair, not a price; in some frames its name is `pair`."""

    p: str | None = None
    pair: str | None = None
    a: Finite | None = None
    b: Finite | None = None
    t: _Time | None = None
    x: int | str | None = None


class _ForexMinuteBar(_Window, tag="CA"):
    pair: str | None = None


class _ForexSecondBar(_Window, tag="CAS"):
    pair: str | None = None


class _IndexValue(msgspec.Struct, tag_field="ev", tag="V", gc=False):
    val: Finite | None = None
    T: str | None = None
    t: _Time | None = None


class _StatusEvent(msgspec.Struct, tag_field="ev", tag="status", gc=False):
    pass


_Known = (
    _Trade
    | _Quote
    | _SecondBar
    | _MinuteBar
    | _CryptoTrade
    | _CryptoQuote
    | _CryptoMinuteBar
    | _CryptoSecondBar
    | _ForexQuote
    | _ForexMinuteBar
    | _ForexSecondBar
    | _IndexValue
    | _StatusEvent
)


class _Kind(msgspec.Struct):
    ev: str | None = None


# Not strict: numbers may be strings (`ds` and `dv` always are).
_frame_decoder = msgspec.json.Decoder(list[_Known], strict=False)
_decode_frame = _frame_decoder.decode
_decode_one = msgspec.json.Decoder(_Known, strict=False).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode

_KINDS = frozenset(
    ("T", "Q", "A", "AM", "XT", "XQ", "XA", "XAS", "C", "CA", "CAS", "V", "status"),
)

_LAST_MILLISECOND = 100_000_000_000_000
"""Times below this are milliseconds: it is the year 5138."""


class _IncompleteError(Exception):
    """An event lacks a required field."""


def decode(frame: bytes) -> list[Event]:
    """The events of a frame, in order: `Rejected` for what cannot be decoded, `Control` for an unknown event."""
    try:
        items = _decode_frame(frame)
    except UNDECODABLE:
        return _decode_each(frame)
    try:
        return [_CONVERT[type(item)](item) for item in items]
    except (_IncompleteError, OverflowError):
        return _decode_each(frame)


def decode_many(frames: Sequence[bytes]) -> Decoded | None:
    """The events of many frames, by column if all are trades; None if one needs `decode`."""
    items_of = decode_lines(_frame_decoder.decode_lines, frames)
    if items_of is None:
        return None
    items = list(chain.from_iterable(items_of))
    counts = list(map(len, items_of))
    if set(map(type, items)) == {_Trade}:
        trades = _trades(items)
        if trades is not None:
            return Decoded(trades, counts)
    try:
        return Decoded([_CONVERT[type(item)](item) for item in items], counts)
    except (_IncompleteError, OverflowError):
        return None


def _trades(items: list[_Trade]) -> TickColumns | None:
    """The same as `_trade` of each; None if one is incomplete, or its time is not whole milliseconds."""
    symbols, times, prices = (list(map(attrgetter(field), items)) for field in ("sym", "t", "p"))
    if not all(symbols) or set(map(type, times)) != {int} or max(times) >= _LAST_MILLISECOND or None in prices:
        return None
    size, exact = (floats(list(map(attrgetter(field), items))) for field in ("s", "ds"))
    if size is None or exact is None:
        size = size if exact is None else exact
    else:
        size = np.where(np.isnan(exact), size, exact)
    # There are few exchanges and many trades: each name is built once.
    places = list(map(attrgetter("x", "trfi"), items))
    name_of = {place: exchange_name(*place) for place in set(places)}
    exchanges = None if set(name_of.values()) == {None} else list(map(name_of.__getitem__, places))
    ids = list(map(attrgetter("i"), items))
    if set(map(type, ids)) != {str} or "" in ids:
        ids = list(map(trade_id, ids))
    return TickColumns(
        symbols,
        np.array(times, np.int64) * MILLISECOND,
        np.array(prices, np.float64),
        size=size,
        exchange=exchanges,
        trade_id=ids,
    )


def _decode_each(frame: bytes) -> list[Event]:
    """Decode event by event, for frames that do not decode as a whole."""
    try:
        parts = _decode_raw(frame) if frame.lstrip()[:1] == b"[" else [msgspec.Raw(frame)]
    except UNDECODABLE as error:
        return [Rejected(f"malformed frame: {error}", frame)]
    return [_decode_part(bytes(part)) for part in parts]


def _decode_part(part: bytes) -> Event:
    try:
        kind = _decode_kind(part).ev
        if kind not in _KINDS:
            return Control(kind) if kind else Rejected("event without ev", part)
        item = _decode_one(part)
        return _CONVERT[type(item)](item)
    except UNDECODABLE as error:
        return Rejected(f"malformed event: {error}", part)
    except (_IncompleteError, OverflowError) as error:
        return Rejected(str(error), part)


def _nanoseconds(value: float) -> int:
    time = int(value)
    if time < _LAST_MILLISECOND:
        return time * MILLISECOND
    return time * 1000 if time < 100_000_000_000_000_000 else time


_NUMBERS = tuple(map(str, range(1024)))


def trade_id(value: str | int | None) -> str | None:
    """The id of a trade as text; None if it is missing or empty."""
    return _text(value) or None


def exchange_name(exchange: str | int | None, trf: int | None) -> str | None:
    """The exchange as text; for off-exchange trades with the TRF behind a slash."""
    name = _text(exchange)
    return name if trf is None else f"{name or ''}/{trf}"


def _text(value: str | int | None) -> str | None:
    if type(value) is int:
        return _NUMBERS[value] if 0 <= value < 1024 else str(value)
    return value  # type: ignore[return-value]


def _trade(item: _Trade) -> Event:
    time, size = item.t, item.ds
    if time is None or item.p is None or not item.sym:
        raise _missing("trade", sym=item.sym, p=item.p, t=time)
    return Tick(
        item.sym,
        _nanoseconds(time),
        item.p,
        None,
        item.s if size is None else size,
        None,
        None,
        exchange_name(item.x, item.trfi),
        trade_id(item.i),
    )


def _crypto_trade(item: _CryptoTrade) -> Event:
    if item.t is None or item.p is None or not item.pair:
        raise _missing("crypto trade", pair=item.pair, p=item.p, t=item.t)
    return Tick(item.pair, _nanoseconds(item.t), item.p, None, item.s, None, None, _text(item.x), trade_id(item.i))


def _forex_quote(item: _ForexQuote) -> Event:
    """A tick at the mid price: this provider has no currency trades, and candles need a price."""
    pair = item.p or item.pair
    if item.t is None or not pair:
        raise _missing("currency quote", p=pair, t=item.t)
    bid, ask = item.b or None, item.a or None
    if bid is None or ask is None:
        raise _missing("currency quote", a=ask, b=bid)
    return Tick(pair, _nanoseconds(item.t), bid / 2 + ask / 2, None, None, bid, ask, _text(item.x))


def _index_value(item: _IndexValue) -> Event:
    if item.t is None or item.val is None or not item.T:
        raise _missing("index value", T=item.T, val=item.val, t=item.t)
    return Tick(item.T, _nanoseconds(item.t), item.val)


def _quote(item: _Quote | _CryptoQuote) -> Event:
    crypto = isinstance(item, _CryptoQuote)
    symbol = item.pair if isinstance(item, _CryptoQuote) else item.sym
    if item.t is None or not symbol:
        raise _missing("quote", **{"pair" if crypto else "sym": symbol, "t": item.t})
    bid, ask = item.bp or None, item.ap or None
    return Quote(
        symbol,
        _nanoseconds(item.t),
        bid,
        item.bs if bid else None,
        ask,
        item.as_ if ask else None,
        _text(item.x) if isinstance(item, _CryptoQuote) else None,
    )


def _bar(symbol_field: str, length: int) -> Callable[[Any], Event]:
    def convert(item: Any) -> Event:
        symbol = getattr(item, symbol_field)
        if item.s is None or not symbol:
            raise _missing("bar", **{symbol_field: symbol, "s": item.s})
        start = _nanoseconds(item.s)
        # The documentation's samples of some channels omit the end.
        end = start + length if item.e is None else _nanoseconds(item.e)
        volume = item.v if item.dv is None else item.dv
        return Bar(symbol, start, end, item.o, item.h, item.l, item.c, volume, item.vw)

    return convert


def _missing(what: str, **fields: object) -> _IncompleteError:
    return _IncompleteError(
        f"{what} without {', '.join(name for name, value in fields.items() if value in (None, ''))}"
    )


_STATUS = Control("status")

_CONVERT: dict[type, Callable[[Any], Event]] = {
    _Trade: _trade,
    _Quote: _quote,
    _SecondBar: _bar("sym", SECOND),
    _MinuteBar: _bar("sym", MINUTE),
    _CryptoTrade: _crypto_trade,
    _CryptoQuote: _quote,
    _CryptoMinuteBar: _bar("pair", MINUTE),
    _CryptoSecondBar: _bar("pair", SECOND),
    _ForexQuote: _forex_quote,
    _ForexMinuteBar: _bar("pair", MINUTE),
    _ForexSecondBar: _bar("pair", SECOND),
    _IndexValue: _index_value,
    _StatusEvent: lambda _item: _STATUS,
}
