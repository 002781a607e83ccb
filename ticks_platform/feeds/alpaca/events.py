"""Decodes frames of Alpaca's stock stream; `connector` lists the sources.

A frame is an array of messages. Doubt: whether the time of a correction is that of the correct trade or of the message;
its documentation says «timestamp». It is taken for the trade's, and the true-up compares with the history. Sizes of
quotes are documented as round lots; a recording of October 2026 has what can only be shares. They are stored as sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ticks_platform.feeds.alpaca import conditions as alpaca_conditions
from ticks_platform.feeds.alpaca.times import nanoseconds
from ticks_platform.feeds.alpaca.trades import NOTHING, Trade, Window, bar, trade, trade_id
from ticks_platform.feeds.decoding import UNDECODABLE, Finite, OptionalFields, repaired
from ticks_platform.feeds.events import Control, Correction, Event, Quote, Rejected, TradingHalt

_CTA_HALT, _CTA_RESUME = ("2",), ("3",)
_UTP_HALT, _UTP_RESUME = ("H", "P"), ("T",)
"""Codes of the two SIPs' trading status; others, such as `Q` for quotes that resume, change no trading."""


class _Kind(msgspec.Struct):
    T: str = ""


class _Quote(msgspec.Struct, gc=False):
    S: str
    t: str
    bp: Finite | None = None
    bs: Finite | None = None
    ap: Finite | None = None
    # `as` is a Python keyword.
    as_: Finite | None = msgspec.field(default=None, name="as")


class _Corrected(msgspec.Struct, gc=False):
    """`o…` is the trade that was sent before, `c…` the correct one."""

    S: str
    t: str
    oi: int | str
    x: str | None = None
    op: Finite | None = None
    os: Finite | None = None
    oc: msgspec.Raw = NOTHING
    ci: int | str | None = None
    cp: Finite | None = None
    cs: Finite | None = None
    cc: msgspec.Raw = NOTHING
    z: Any = None


class _Cancelled(msgspec.Struct, gc=False):
    """`a` is C for a trade that was cancelled, E for one that was an error."""

    S: str
    t: str
    i: int | str
    x: str | None = None
    p: Finite | None = None
    s: Finite | None = None
    a: str | None = None


class _Status(msgspec.Struct, gc=False):
    S: str
    t: str
    sc: str = ""
    z: Any = None


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode


def decode(frame: bytes) -> list[Event]:
    """The events of a frame, in order: `Rejected` for what cannot be decoded, `Control` for an unknown message."""
    try:
        parts = _parts(frame)
    except UNDECODABLE as error:
        try:
            parts = _parts(repaired(frame) or b"")
        except UNDECODABLE:
            return [Rejected(f"malformed frame: {error}", frame)]
    return [event for part in parts for event in _events(part)] or [Control("nothing")]


def _parts(frame: bytes) -> list[bytes]:
    return list(map(bytes, _decode_list(frame)))


def _events(part: bytes) -> list[Event]:
    try:
        kind = _decode_kind(part).T
        if kind not in _KINDS:
            return [Control(kind) if kind else Rejected("message without T", part)]
        decode_one, fields, convert = _KINDS[kind]
        malformed: tuple[str, ...] = ()
        try:
            item = decode_one(part)
        except UNDECODABLE:
            item, malformed = fields.decode(part)
        if not item.S:
            return [Rejected(f"message {kind} without a symbol", part)]
        return convert(item, malformed)
    except (*UNDECODABLE, ValueError) as error:
        return [Rejected(f"malformed message: {error}", part)]


def _trade(item: Trade, malformed: tuple[str, ...]) -> list[Event]:
    return [trade(item.S, item, malformed)]


def _quote(item: _Quote, malformed: tuple[str, ...]) -> list[Event]:
    bid, ask = item.bp or None, item.ap or None
    sizes = item.bs if bid else None, item.as_ if ask else None
    return [Quote(item.S, nanoseconds(item.t), bid, sizes[0], ask, sizes[1], malformed=malformed or None)]


def _bar(item: Window, malformed: tuple[str, ...]) -> list[Event]:
    return [bar(item.S, item, malformed)]


def _correction(item: _Corrected, malformed: tuple[str, ...]) -> list[Event]:
    at = nanoseconds(item.t)
    original = trade_id(item.oi)
    if original is None:
        raise ValueError("the corrected trade has no id")
    read = alpaca_conditions.read(bytes(item.oc), item.z)
    # An official price is no tick, so there is nothing to take back.
    found: list[Event] = []
    if read.official is None:
        same_data = (item.op, item.os, original) == (item.cp, item.cs, trade_id(item.ci))
        found.append(
            Correction(
                item.S,
                at,
                item.x,
                original,
                "corrected",
                "stream c",
                item.op,
                item.os,
                # What differs may be the conditions alone.
                (read.ids or ()) if same_data else None,
            )
        )
    if item.cp is not None:
        correct = Trade(item.t, item.cp, item.S, item.cs, item.ci, item.x, item.cc, item.z)
        found.append(trade(item.S, correct, malformed))
    return found or [Control("c")]


def _cancel(item: _Cancelled, malformed: tuple[str, ...]) -> list[Event]:
    number = trade_id(item.i)
    if number is None:
        raise ValueError("the cancelled trade has no id")
    # Several reporting facilities are `x` D, each with numbers of its own: price and size tell their trades apart.
    named = (item.S, nanoseconds(item.t), item.x, number)
    return [Correction(*named, "cancelled", f"stream x {item.a or ''}".strip(), item.p, item.s)]


def _status(item: _Status, malformed: tuple[str, ...]) -> list[Event]:
    halts, resumes = (_CTA_HALT, _CTA_RESUME) if item.z in ("A", "B") else (_UTP_HALT, _UTP_RESUME)
    if item.sc in halts:
        return [TradingHalt(item.S, nanoseconds(item.t), "halt")]
    if item.sc in resumes:
        return [TradingHalt(item.S, nanoseconds(item.t), "resume")]
    return [Control("s")]


_Handler = tuple[Callable[[bytes], Any], OptionalFields[Any], Callable[[Any, tuple[str, ...]], list[Event]]]


def _kind(event: type[Any], required: tuple[str, ...], convert: Callable[[Any, tuple[str, ...]], Any]) -> _Handler:
    # Not strict: numbers may be texts.
    return msgspec.json.Decoder(event, strict=False).decode, OptionalFields(event, required), convert


_BAR = _kind(Window, ("S", "t", "o", "h", "l", "c"), _bar)
_KINDS: dict[str, _Handler] = {
    "t": _kind(Trade, ("S", "t", "p"), _trade),
    "q": _kind(_Quote, ("S", "t"), _quote),
    "b": _BAR,
    "u": _BAR,  # of a minute that was sent before, after a late trade
    # What a correction gives wrongly would be stored as a wrong trade, or take none back.
    "c": _kind(_Corrected, ("S", "t", "x", "oi", "op", "os", "ci", "cp", "cs"), _correction),
    "x": _kind(_Cancelled, ("S", "t", "x", "i", "p", "s"), _cancel),
    "s": _kind(_Status, ("S", "t", "sc"), _status),
}

STORED = frozenset(_KINDS)
"""Types of the messages that are data of a channel which is stored."""
