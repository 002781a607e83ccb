"""A trade of Coinbase Exchange, which the WebSocket and the REST API tell with the same fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from ticks_platform.feeds.events import Tick
from ticks_platform.timestamps import to_nanoseconds

Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]  # excludes NaN and infinity, which a string may spell


class Trade(msgspec.Struct, kw_only=True):
    price: Amount
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    trade_id: int | str | None = None
    size: Amount | None = None


def tick(symbol: str, trade: Trade, malformed: tuple[str, ...] = ()) -> Tick:
    """The tick of a trade; `malformed` are its fields that cannot be read."""
    return Tick(
        symbol,
        to_nanoseconds(trade.time),
        trade.price,
        size=trade.size,
        trade_id=None if trade.trade_id in (None, "") else str(trade.trade_id),
        malformed=malformed or None,
    )
