"""Trades of Binance, single or aggregated, as the WebSocket and the REST API tell them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ticks_platform.feeds.decoding import OptionalFields
from ticks_platform.feeds.events import Tick
from ticks_platform.timestamps import MILLISECOND

Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]  # excludes NaN and infinity, which a text may spell
Time = Annotated[int, msgspec.Meta(ge=1, lt=9_000_000_000_000_000)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1)]

_FIRST_MICROSECOND = 100_000_000_000_000
"""Times from this on are microseconds, which a URL with `timeUnit=MICROSECOND` asks for: as milliseconds, it is the
year 5138."""


class Trade(msgspec.Struct, kw_only=True):
    """A trade of the stream `trade`. Until 2024 it also had the numbers of both orders, in `a` and `b`."""

    symbol: Name = msgspec.field(name="s")
    price: Amount = msgspec.field(name="p")
    time: Time = msgspec.field(name="T")
    size: Amount | None = msgspec.field(name="q", default=None)
    id: Id | None = msgspec.field(name="t", default=None)


class AggregateTrade(msgspec.Struct, kw_only=True):
    """Of the stream `aggTrade`: what one order took at one price. The REST API does not repeat the symbol."""

    symbol: str = msgspec.field(name="s", default="")
    price: Amount = msgspec.field(name="p")
    time: Time = msgspec.field(name="T")
    size: Amount | None = msgspec.field(name="q", default=None)
    id: Id | None = msgspec.field(name="a", default=None)
    first: Id | None = msgspec.field(name="f", default=None)
    """The number of its first trade."""


class PastTrade(msgspec.Struct, kw_only=True):
    """A trade of `/api/v3/historicalTrades`."""

    price: Amount
    time: Time
    size: Amount | None = msgspec.field(name="qty", default=None)
    id: Id | None = None


# Not strict: prices and sizes are texts.
decode_trade = msgspec.json.Decoder(Trade, strict=False).decode
decode_aggregate = msgspec.json.Decoder(AggregateTrade, strict=False).decode
decode_past = msgspec.json.Decoder(PastTrade, strict=False).decode
trade_fields: OptionalFields[Any] = OptionalFields(Trade, required=("s", "p", "T"))
aggregate_fields: OptionalFields[Any] = OptionalFields(AggregateTrade, required=("s", "p", "T"))
past_fields: OptionalFields[Any] = OptionalFields(PastTrade, required=("price", "time", "id"))
past_aggregate_fields: OptionalFields[Any] = OptionalFields(AggregateTrade, required=("p", "T", "a"))


def nanoseconds(time: int) -> int:
    """A time of Binance in nanoseconds since the Unix epoch."""
    return time * 1000 if time >= _FIRST_MICROSECOND else time * MILLISECOND


def tick(symbol: str, trade: Trade | AggregateTrade | PastTrade, malformed: tuple[str, ...] = ()) -> Tick:
    """The tick of a trade; `malformed` are its fields that cannot be read.

    Both kinds are numbered from 0 in each market, so those of aggregated trades begin with a letter here.
    """
    number = None if trade.id is None else f"a{trade.id}" if isinstance(trade, AggregateTrade) else str(trade.id)
    return Tick(
        symbol, nanoseconds(trade.time), trade.price, size=trade.size, trade_id=number, malformed=malformed or None
    )
