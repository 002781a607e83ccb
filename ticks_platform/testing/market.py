"""The trades of a market that nobody else has: what the kit's servers tell, in the words of a provider."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from ticks_platform.timestamps import MILLISECOND, SECOND


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
