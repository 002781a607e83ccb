"""Prices of a synthetic but plausible market: seeded random walks, one per instrument."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec

from ticks_standin.market.instruments import Instrument

_SECONDS_PER_DAY = 86_400
_RETURN = 0.02
"""Which share of its distance from the start a price returns in one tick: most stay within ten steps of it."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One price of one instrument.

    ``timestamp`` is in whole UNIX seconds, UTC; ``day_volume`` is cumulative over the UTC day; ``size`` is the traded
    quantity, 0 if the instrument has no volume.
    """

    instrument: Instrument
    timestamp: int
    price: float
    bid: float | None
    ask: float | None
    day_volume: int | None
    size: float = 0.0


class _Walk:
    """The price of one instrument, rounded to the tick size when quoted: a geometric random walk without drift.

    With a ``step`` it is one that returns to where it began.
    """

    __slots__ = ("_day", "_instrument", "_price", "_random", "_traded")

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._instrument = instrument
        # A generator of its own: the n-th price of a symbol does not depend on what else is traded.
        self._random = random.Random(f"{seed}/{instrument.symbol}/{instrument.exchange}")  # noqa: S311
        self._price = instrument.start_price
        self._traded = 0.0
        self._day = 0

    def step(self, timestamp: int) -> Tick:
        instrument = self._instrument
        volatility, drawn = instrument.volatility, self._random.gauss(0.0, 1.0)
        # The unrounded price is kept: small moves would round to nothing, and the walk would stand still.
        if instrument.step:
            self._price += instrument.step * drawn - _RETURN * (self._price - instrument.start_price)
        else:
            self._price *= math.exp(volatility * drawn - volatility * volatility / 2)
        smallest = 10.0**-instrument.decimals
        price = round(self._price, instrument.decimals) + 0.0  # of which -0.0 is 0.0
        if not instrument.below_zero:
            price = max(price, smallest)
        bid = ask = day_volume = None
        size = 0.0
        if instrument.spread:
            half = max(price * instrument.spread / 2, smallest)
            bid = round(price - half, instrument.decimals)
            ask = round(price + half, instrument.decimals)
        if instrument.mean_size:
            day = timestamp // _SECONDS_PER_DAY
            if day > self._day:
                self._day = day
                self._traded = 0.0
            size = self._random.expovariate(1.0 / instrument.mean_size)
            self._traded += size
            day_volume = math.ceil(self._traded)
        return Tick(instrument, timestamp, price, bid, ask, day_volume, size)


class Market:
    """Makes ticks. The same seed and the same calls give the same ticks, in every process."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311
        self._walks: dict[Instrument, _Walk] = {}

    def ticks(self, traded: Sequence[Instrument], count: int, timestamp: int) -> list[Tick]:
        """The next ``count`` ticks, each of an instrument drawn from ``traded``, stamped ``timestamp`` (UNIX seconds).

        Raises:
            IndexError: if nothing is traded.
        """
        return [self.tick(traded[self.draw(len(traded))], timestamp) for _ in range(count)]

    def draw(self, number: int) -> int:
        """A random number below ``number``, evenly distributed."""
        return int(self._random.random() * number)

    def tick(self, instrument: Instrument, timestamp: int) -> Tick:
        """The next tick of an instrument, stamped ``timestamp`` (UNIX seconds)."""
        walk = self._walks.get(instrument)
        if walk is None:
            walk = self._walks[instrument] = _Walk(instrument, self._seed)
        return walk.step(timestamp)
