"""Decodes frames of Polygon.io (Massive); `connector` lists the sources of the protocol facts.

A frame is an array of events of any channels. Times are milliseconds in most channels, but nanoseconds or microseconds
where the live service differs from its documentation: the magnitude tells which.

Conditions of crypto trades are not stored: they tell the taker's side, not what a trade may change in a candle.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import msgspec

from ticks_platform.feeds.columns import Decoded, decode_lines
from ticks_platform.feeds.decoding import UNDECODABLE, Finite, OptionalFields, repaired
from ticks_platform.feeds.events import Bar, Control, Event, Quote, Rejected, Tick, TradingHalt, with_malformed
from ticks_platform.feeds.polygon.trades import (
    IncompleteError,
    Time,
    Trade,
    missing,
    nanoseconds,
    text,
    trade,
    trade_id,
    trades,
)
from ticks_platform.timestamps import MINUTE, SECOND


class _Quote(msgspec.Struct, tag_field="ev", tag="Q", gc=False):
    sym: str | None = None
    t: Time | None = None
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
    s: Time | None = None
    e: Time | None = None
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
    t: Time | None = None
    s: Finite | None = None
    i: str | int | None = None
    x: int | str | None = None


class _CryptoQuote(msgspec.Struct, tag_field="ev", tag="XQ", gc=False):
    pair: str | None = None
    t: Time | None = None
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
    t: Time | None = None
    x: int | str | None = None


class _ForexMinuteBar(_Window, tag="CA"):
    pair: str | None = None


class _ForexSecondBar(_Window, tag="CAS"):
    pair: str | None = None


class _IndexValue(msgspec.Struct, tag_field="ev", tag="V", gc=False):
    val: Finite | None = None
    T: str | None = None
    t: Time | None = None


class _PriceBand(msgspec.Struct, tag_field="ev", tag="LULD", gc=False):
    """Limit up and limit down of a stock. `i` are indicators: 17 for a halt, 18 for a resumption, of symbols that are
    listed on Nasdaq only (massive.com/docs/websocket/stocks/luld). `t` is in nanoseconds on the live service, in
    milliseconds by its documentation."""

    T: str | None = None
    t: Time | None = None
    i: list[int] | None = None


class _StatusEvent(msgspec.Struct, tag_field="ev", tag="status", gc=False):
    pass


_Known = (
    Trade
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
    | _PriceBand
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
    ("T", "Q", "A", "AM", "XT", "XQ", "XA", "XAS", "C", "CA", "CAS", "V", "LULD", "status"),
)


_BAR = ("s", "o", "h", "l", "c")
_OPTIONAL_FIELDS: dict[str, OptionalFields[Any]] = {
    "T": OptionalFields(Trade, required=("sym", "p", "t")),
    "Q": OptionalFields(_Quote, required=("sym", "t")),
    "A": OptionalFields(_SecondBar, required=("sym", *_BAR)),
    "AM": OptionalFields(_MinuteBar, required=("sym", *_BAR)),
    "XT": OptionalFields(_CryptoTrade, required=("pair", "p", "t")),
    "XQ": OptionalFields(_CryptoQuote, required=("pair", "t")),
    "XA": OptionalFields(_CryptoMinuteBar, required=("pair", *_BAR)),
    "XAS": OptionalFields(_CryptoSecondBar, required=("pair", *_BAR)),
    "C": OptionalFields(_ForexQuote, required=("a", "b", "t")),
    "CA": OptionalFields(_ForexMinuteBar, required=("pair", *_BAR)),
    "CAS": OptionalFields(_ForexSecondBar, required=("pair", *_BAR)),
    "V": OptionalFields(_IndexValue, required=("T", "val", "t")),
}


def decode(frame: bytes, market: str = "stocks") -> list[Event]:
    """The events of a frame, in order: `Rejected` for what cannot be decoded, `Control` for an unknown event."""
    convert = _converters(market)
    try:
        items = _decode_frame(frame)
    except UNDECODABLE:
        return _decode_each(frame, market)
    try:
        return [convert[type(item)](item) for item in items]
    except (IncompleteError, OverflowError):
        return _decode_each(frame, market)


def decode_many(frames: Sequence[bytes], market: str = "stocks") -> Decoded | None:
    """The events of many frames, by column if all are trades that are ticks; None if one needs `decode`."""
    items_of = decode_lines(_frame_decoder.decode_lines, frames)
    if items_of is None:
        return None
    items = list(chain.from_iterable(items_of))
    counts = list(map(len, items_of))
    if set(map(type, items)) == {Trade}:
        columns = trades(items, has_rules=market == "stocks")
        if columns is not None:
            return Decoded(columns, counts)
    convert = _converters(market)
    try:
        return Decoded([convert[type(item)](item) for item in items], counts)
    except (IncompleteError, OverflowError):
        return None


def _decode_each(frame: bytes, market: str = "stocks") -> list[Event]:
    """Decode event by event, for frames that do not decode as a whole."""
    try:
        return [_decode_part(part, market) for part in _parts(frame)]
    except UNDECODABLE as error:
        readable = repaired(frame)
        if readable is None:
            return [Rejected(f"malformed frame: {error}", frame)]
    events = [_decode_part(part, market) for part in _parts(readable)]
    # What is rejected keeps its bytes as they came.
    return [Rejected(event.reason, frame) if isinstance(event, Rejected) else event for event in events]


def _parts(frame: bytes) -> list[bytes]:
    """The JSON of each event. Raises one of UNDECODABLE."""
    return list(map(bytes, _decode_raw(frame))) if frame.lstrip()[:1] == b"[" else [frame]


def _decode_part(part: bytes, market: str) -> Event:
    try:
        kind = _decode_kind(part).ev
        if kind not in _KINDS:
            return Control(kind) if kind else Rejected("event without ev", part)
        try:
            item = _decode_one(part)
        except UNDECODABLE:
            if kind not in _OPTIONAL_FIELDS:
                raise
            item, malformed = _OPTIONAL_FIELDS[kind].decode(part)
        else:
            malformed = ()
        return with_malformed(_converters(market)[type(item)](item), malformed)
    except UNDECODABLE as error:
        return Rejected(f"malformed event: {error}", part)
    except (IncompleteError, OverflowError) as error:
        return Rejected(str(error), part)


def _crypto_trade(item: _CryptoTrade) -> Event:
    if item.t is None or item.p is None or not item.pair:
        raise missing("crypto trade", pair=item.pair, p=item.p, t=item.t)
    return Tick(item.pair, nanoseconds(item.t), item.p, None, item.s, None, None, text(item.x), trade_id(item.i))


def _forex_quote(item: _ForexQuote) -> Event:
    """A tick at the mid price: this provider has no currency trades, and candles need a price."""
    pair = item.p or item.pair
    if item.t is None or not pair:
        raise missing("currency quote", p=pair, t=item.t)
    bid, ask = item.b or None, item.a or None
    if bid is None or ask is None:
        raise missing("currency quote", a=ask, b=bid)
    return Tick(pair, nanoseconds(item.t), bid / 2 + ask / 2, None, None, bid, ask, text(item.x))


def _index_value(item: _IndexValue) -> Event:
    if item.t is None or item.val is None or not item.T:
        raise missing("index value", T=item.T, val=item.val, t=item.t)
    return Tick(item.T, nanoseconds(item.t), item.val)


def _halt(item: _PriceBand) -> Event:
    """Halts and their ends are kept; price bands are not."""
    halted, resumed = _HALT in (item.i or ()), _RESUME in (item.i or ())
    if not halted and not resumed:
        return _BAND
    if item.t is None or not item.T:
        raise missing("halt", T=item.T, t=item.t)
    if halted and resumed:
        raise IncompleteError("halt and resumption in one event")
    return TradingHalt(item.T, nanoseconds(item.t), "halt" if halted else "resume")


def _quote(item: _Quote | _CryptoQuote) -> Event:
    crypto = isinstance(item, _CryptoQuote)
    symbol = item.pair if isinstance(item, _CryptoQuote) else item.sym
    if item.t is None or not symbol:
        raise missing("quote", **{"pair" if crypto else "sym": symbol, "t": item.t})
    bid, ask = item.bp or None, item.ap or None
    return Quote(
        symbol,
        nanoseconds(item.t),
        bid,
        item.bs if bid else None,
        ask,
        item.as_ if ask else None,
        text(item.x) if isinstance(item, _CryptoQuote) else None,
    )


def _bar(symbol_field: str, length: int) -> Callable[[Any], Event]:
    def convert(item: Any) -> Event:
        symbol = getattr(item, symbol_field)
        if item.s is None or not symbol:
            raise missing("bar", **{symbol_field: symbol, "s": item.s})
        start = nanoseconds(item.s)
        end = start if item.e is None else nanoseconds(item.e)
        if end == start:
            # The documentation's samples of some channels omit the end; in those of indices it is the start.
            end = start + length
        volume = item.v if item.dv is None else item.dv
        return Bar(symbol, start, end, item.o, item.h, item.l, item.c, volume, item.vw)

    return convert


_STATUS = Control("status")
_BAND = Control("LULD")
_HALT, _RESUME = 17, 18

_CONVERT: dict[type, Callable[[Any], Event]] = {
    Trade: trade,
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
    _PriceBand: _halt,
    _StatusEvent: lambda _item: _STATUS,
}

_CONVERT_WITHOUT_RULES: dict[type, Callable[[Any], Event]] = {
    **_CONVERT,
    Trade: functools.partial(trade, has_rules=False),
}


def _converters(market: str) -> dict[type, Callable[[Any], Event]]:
    return _CONVERT if market == "stocks" else _CONVERT_WITHOUT_RULES
