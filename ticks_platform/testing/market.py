"""The trades of a market that nobody else has: what the kit's servers tell, in the words of a provider."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from ticks_platform.timestamps import MILLISECOND, MINUTE, SECOND

BEGIN = 1_767_366_000 * SECOND
"""When the kit's market opens: 2026-01-02 15:00 UTC."""


class Trade(NamedTuple):
    """A trade, before a provider puts it into words."""

    symbol: str
    """As ticks name it."""
    number: int
    """From 1, without a gap for each symbol: for the provider's id."""
    time: int
    """In nanoseconds since the Unix epoch; a whole number of milliseconds."""
    price: float
    size: float

    @property
    def seconds(self) -> float:
        """Its time in seconds since the Unix epoch, exact to the millisecond."""
        return self.time // MILLISECOND / 1000

    @property
    def milliseconds(self) -> int:
        """Its time in milliseconds since the Unix epoch."""
        return self.time // MILLISECOND


def trades(symbols: Sequence[str], count: int, *, begin: int, seed: int = 1) -> list[Trade]:
    """So many trades of each symbol, in the order of their times: some at one time, and some at one price.

    `begin` is in nanoseconds since the Unix epoch. The same arguments give the same trades.
    """
    chance = random.Random(seed)  # noqa: S311  (prices, not cryptography)
    made: list[Trade] = []
    time = begin // SECOND * SECOND
    for number in range(1, count + 1):
        for symbol in symbols:
            time += chance.choice((0, 1, 7, 250)) * MILLISECOND
            made.append(Trade(symbol, number, time, chance.randint(1, 900) / 4, chance.randint(1, 999) / 8))
    return made


class MinuteBar(NamedTuple):
    """A minute of a symbol's trades, before a provider puts it into words."""

    time: int
    """Its begin, in nanoseconds since the Unix epoch."""
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def seconds(self) -> int:
        """Its begin in seconds since the Unix epoch."""
        return self.time // SECOND


def minute_bars(made: Sequence[Trade]) -> list[MinuteBar]:
    """The bars of one symbol's trades, which are in order: none of a minute without a trade."""
    bars = []
    for minute, of_minute in groupby(made, lambda trade: trade.time // MINUTE):
        group = list(of_minute)
        prices = [trade.price for trade in group]
        ohlc = (prices[0], max(prices), min(prices), prices[-1])
        bars.append(MinuteBar(minute * MINUTE, *ohlc, sum(trade.size for trade in group)))
    return bars
