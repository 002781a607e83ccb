"""Trades of stocks and options: to ticks, by column where all of them are, and to official prices.

What the conditions of a trade mean is known for US stocks only (`conditions`). Those of options are stored and restrict
nothing.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import Floats, TickColumns, floats
from ticks_platform.feeds.decoding import Finite
from ticks_platform.feeds.events import OfficialPrice, Tick
from ticks_platform.feeds.us_stocks.conditions import OfficialKind, is_listing, packaged_rules
from ticks_platform.feeds.us_stocks.regular_hours import new_york_date
from ticks_platform.timestamps import MILLISECOND

_Int64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# The service has written whole numbers such as sizes as 1.6e12.
Time = _Int64 | Finite

_LAST_MILLISECOND = 100_000_000_000_000
"""Times below this are milliseconds: it is the year 5138."""

_RULES = packaged_rules()
_NOTHING = msgspec.Raw()


class Trade(msgspec.Struct, tag_field="ev", tag="T", gc=False):
    """`ds` is the exact size of a trade in fractions of shares (since February 2026); `s` is rounded down then. `c` are
    its conditions, `z` the tape: 1 NYSE, 2 other exchanges, 3 Nasdaq."""

    sym: str | None = None
    p: Finite | None = None
    t: Time | None = None
    s: Finite | None = None
    ds: Finite | None = None
    i: str | int | None = None
    x: int | str | None = None
    trfi: int | None = None
    # Of any type, so that no trade is lost for odd ones.
    c: msgspec.Raw = _NOTHING
    z: Any = None


class IncompleteError(Exception):
    """An event lacks a required field."""


def trade(item: Trade, *, has_rules: bool = True) -> Tick | OfficialPrice:
    """The tick or, with the rules of US stocks, the official price. Raises IncompleteError and OverflowError."""
    time, size, price = item.t, item.ds, item.p
    if time is None or price is None or not item.sym:
        raise missing("trade", sym=item.sym, p=price, t=time)
    at = nanoseconds(time)
    if size is None:
        size = item.s
    exchange = exchange_name(item.x, item.trfi)
    conditions = _RULES.read(bytes(item.c))
    updates = None
    if has_rules:
        if conditions.official is not None:
            return official_price(item.sym, at, conditions.official, price, size, exchange, item.z)
        updates = _RULES.updates(conditions, at)
    return Tick(
        item.sym,
        at,
        price,
        None,
        size,
        None,
        None,
        exchange,
        trade_id(item.i),
        updates,
        conditions.ids,
        conditions.malformed,
    )


def trades(items: list[Trade], *, has_rules: bool = True) -> TickColumns | None:
    """The same as `trade` of each.

    None if one is incomplete, has a time that is not whole milliseconds, has conditions that cannot be read, or is an
    official price.
    """
    symbols = Coded.of(list(map(attrgetter("sym"), items)))
    times, prices = (list(map(attrgetter(field), items)) for field in ("t", "p"))
    if not all(symbols.values) or set(map(type, times)) != {int} or max(times) >= _LAST_MILLISECOND or None in prices:
        return None
    time = np.array(times, np.int64) * MILLISECOND
    size, exact = (floats(list(map(attrgetter(field), items))) for field in ("s", "ds"))
    if size is None or exact is None:
        size = size if exact is None else exact
    else:
        size = np.where(np.isnan(exact), size, exact)
    ids = list(map(attrgetter("i"), items))
    if set(map(type, ids)) != {str} or "" in ids:
        ids = list(map(trade_id, ids))
    # There are few different conditions, exchanges and TRFs, and many trades: each is read once.
    places = Coded.of(list(map(attrgetter("x", "trfi"), items)))
    return trade_columns(
        symbols,
        time,
        np.array(prices, np.float64),
        size=size,
        conditions=Coded.of(list(map(bytes, map(attrgetter("c"), items)))),
        exchanges=Coded(places.codes, [exchange_name(*place) for place in places.values]),
        ids=ids,
        has_rules=has_rules,
    )


def trade_columns(
    symbols: Coded,
    time: npt.NDArray[np.int64],
    price: Floats,
    *,
    size: Floats | None,
    conditions: Coded,
    exchanges: Coded,
    ids: list[str | None],
    has_rules: bool = True,
) -> TickColumns | None:
    """Ticks of these columns; None if one has conditions that cannot be read, or is an official price.

    `conditions` are as the provider writes them.
    """
    read = list(map(_RULES.read, conditions.values))
    if any(each.malformed for each in read):
        return None
    updates = None
    if has_rules:
        if any(each.official for each in read):
            return None
        updates = _RULES.updates_of(read, conditions.codes, time)
    return TickColumns(
        symbols,
        time,
        price,
        size=size,
        exchange=None if set(exchanges.values) == {None} else exchanges,
        trade_id=ids,
        updates=updates,
        conditions=Coded(conditions.codes, [each.ids for each in read]) if any(each.ids for each in read) else None,
    )


def official_price(
    symbol: str,
    at: int,
    kind: OfficialKind,
    price: float,
    size: float | None,
    exchange: str | None,
    tape: object,
) -> OfficialPrice:
    """The official price of a session, which is the date in New York."""
    # The listing exchange alone corrects a close.
    is_primary = kind == "corrected_close" or is_listing(tape, exchange)
    return OfficialPrice(symbol, at, new_york_date(at), kind, price, size, exchange, is_primary)


def nanoseconds(value: float) -> int:
    """A time of an event, in nanoseconds since the Unix epoch. Raises OverflowError."""
    time = int(value)
    if time < _LAST_MILLISECOND:
        return time * MILLISECOND
    return time * 1000 if time < 100_000_000_000_000_000 else time


_NUMBERS = tuple(map(str, range(1024)))


def trade_id(value: str | int | None) -> str | None:
    """The id of a trade as text; None if it is missing or empty."""
    return text(value) or None


def exchange_name(exchange: str | int | None, trf: int | None) -> str | None:
    """The exchange as text; for off-exchange trades with the TRF behind a slash."""
    name = text(exchange)
    return name if trf is None else f"{name or ''}/{trf}"


def text(value: str | int | None) -> str | None:
    """A text, or a whole number as text."""
    if type(value) is int:
        return _NUMBERS[value] if 0 <= value < 1024 else str(value)
    return value  # type: ignore[return-value]


def missing(what: str, **fields: object) -> IncompleteError:
    """The error that names the fields without a value."""
    return IncompleteError(f"{what} without {', '.join(name for name, value in fields.items() if value in (None, ''))}")
