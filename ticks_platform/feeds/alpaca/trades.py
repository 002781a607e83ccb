"""A trade of Alpaca, which the WebSocket and the REST API tell with the same fields, and its bars."""

from __future__ import annotations

from typing import Any

import msgspec

from ticks_platform.feeds.alpaca import conditions as alpaca_conditions
from ticks_platform.feeds.alpaca.times import nanoseconds
from ticks_platform.feeds.decoding import Finite
from ticks_platform.feeds.events import Bar, OfficialPrice, Tick
from ticks_platform.feeds.us_stocks.regular_hours import new_york_date
from ticks_platform.timestamps import MINUTE

NOTHING = msgspec.Raw()


class Trade(msgspec.Struct, gc=False):
    """`c` are its conditions, `x` the exchange, `z` the tape: A NYSE, B other exchanges, C Nasdaq, O over the counter.
    `u` is there in the past only: `canceled`, `incorrect` or `corrected`."""

    t: str
    p: Finite
    S: str = ""
    s: Finite | None = None
    i: int | str | None = None
    x: str | None = None
    # Of any type, so that no trade is lost for odd ones.
    c: msgspec.Raw = NOTHING
    z: Any = None
    u: str | None = None


class Window(msgspec.Struct, gc=False):
    """A bar of a minute."""

    t: str
    S: str = ""
    o: Finite | None = None
    h: Finite | None = None
    l: Finite | None = None  # noqa: E741
    c: Finite | None = None
    v: Finite | None = None
    vw: Finite | None = None


def trade_id(value: int | str | None) -> str | None:
    """The id of a trade as text; None if it is missing or empty."""
    return None if value in (None, "") else str(value)


def trade(symbol: str, item: Trade, malformed: tuple[str, ...] = ()) -> Tick | OfficialPrice:
    """The tick or, if the trade repeats one of an auction, the official price. Raises ValueError."""
    at = nanoseconds(item.t)
    conditions = alpaca_conditions.read(bytes(item.c), item.z)
    if conditions.official is not None:
        # The listing exchange alone corrects a close.
        is_primary = conditions.official == "corrected_close" or alpaca_conditions.is_listing(item.z, item.x)
        session = new_york_date(at)
        return OfficialPrice(symbol, at, session, conditions.official, item.p, item.s, item.x, is_primary)
    return Tick(
        symbol,
        at,
        item.p,
        size=item.s,
        exchange=item.x,
        trade_id=trade_id(item.i),
        updates=alpaca_conditions.RULES.updates(conditions, at),
        conditions=conditions.ids,
        malformed=(*malformed, *(conditions.malformed or ())) or None,
    )


def bar(symbol: str, item: Window, malformed: tuple[str, ...] = ()) -> Bar:
    """The bar of a minute. Raises ValueError."""
    begin = nanoseconds(item.t)
    prices = (item.o, item.h, item.l, item.c)
    return Bar(symbol, begin, begin + MINUTE, *prices, item.v, item.vw, malformed=malformed or None)
