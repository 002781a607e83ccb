"""A full tape, cheap to make: trades of thousands of made-up symbols in frames of mixed sizes. Without I/O."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from ticks_standin.market.bars import UNITS
from ticks_standin.market.hours import TradingHours
from ticks_standin.polygon.prints import TRF, PlainPrints, Prints, round_lot
from ticks_standin.polygon.trades import decimal_size

_SKEW = 0.7
"""The n-th symbol has the weight n ** -_SKEW: of 8,000 symbols the first has 2.1 % of the trades.

On 5 April 2024 TSLA had 2.2 % of the 70.4 million trades on the US tape (Polygon's table of exchanges seen).
"""

_VARIANTS = 1_024
_OPEN_MS, _CLOSED_MS = 1_772_568_000_000, 1_772_580_000_000
_LOT_PRICES = (100.0, 500.0)
"""Prices of a stock whose round lot is 100, and of one whose round lot is 40."""


class TapeFrame(NamedTuple):
    """Some trades: the JSON of each, and the number of its symbol."""

    trades: list[str]
    symbols: list[int]


class _Variant(NamedTuple):
    """The parts of a trade that are drawn in advance: pieces of its JSON, and by how many cents the price moves.

    ``away`` is by how much its own price is off the market's, in thousandths.
    """

    exchange: str
    size: str
    off_exchange: bool
    cents: int
    sequence: int
    away: int


class Tape:
    """Makes trades. Ids are unique over all symbols, ``q`` increases per symbol, prices move in cents.

    A ``real`` tape has the mixture of :class:`Prints`, but no auctions and no corrections.
    """

    def __init__(
        self,
        *,
        symbols: int,
        frame_max: int,
        seed: int,
        first_id: int,
        avoid: frozenset[str],
        real: bool = True,
        hours: TradingHours | None = None,
    ) -> None:
        """``first_id`` is the id of the first trade; no symbol in ``avoid`` is used."""
        self._random = random.Random(f"{seed}/tape")  # noqa: S311
        self._frame_max = frame_max
        self._hours = hours or TradingHours()
        self.symbols = list(names(symbols, avoid))
        """The symbols, the busiest first."""
        self._heads = [f'{{"ev":"T","sym":"{symbol}","x":' for symbol in self.symbols]
        self._cents = [self._random.randint(500, 50_000) for _ in self.symbols]
        self._sequences = [first_id // 1_000] * symbols
        self._weights = list(accumulate((rank + 1) ** -_SKEW for rank in range(symbols)))
        self._numbers = range(symbols)
        self._lots = [int(round_lot(cents / 100) < 100) for cents in self._cents]
        # By whether the exchanges are open, and by round lot.
        self._variants = [[self._table(price, real, regular) for price in _LOT_PRICES] for regular in (False, True)]
        self._id = first_id

    def _table(self, price: float, real: bool, regular: bool) -> list[_Variant]:
        prints: Prints | PlainPrints = PlainPrints(self._random)
        if real:
            prints = Prints(price, primary=12, tape=3, draw=self._random, hours=TradingHours(), auctions=False)
        # A time at which the exchanges are open, and one at which they are not: the variants are the same each day.
        at_ms = _OPEN_MS if regular else _CLOSED_MS
        return [self._variant(prints, price, at_ms) for _ in range(_VARIANTS)]

    def _variant(self, prints: Prints | PlainPrints, price: float, at_ms: int) -> _Variant:
        draw = self._random.random
        made = prints.next(price, self._random.expovariate(1 / 120), at_ms, fractional=0.05)
        given = f',"c":[{",".join(map(str, made.conditions))}]' if made.conditions else ""
        return _Variant(
            f'{made.exchange},"i":"',
            f',"s":{made.volume // UNITS},"ds":"{decimal_size(made.volume)}"{given},"t":',
            made.exchange == TRF,
            int(draw() * 5) - 2,
            int(1 + draw() * 9),
            round((made.price / price - 1) * 1_000),
        )

    def frames(self, events: int, now_ms: int) -> Iterator[TapeFrame]:
        """Frames of this many trades in all, stamped ``now_ms``, of mixed sizes, small ones more often."""
        draw, most = self._random.random, self._frame_max
        while events:
            size = min(int((most + 1) ** draw()), most, events)
            events -= size
            yield self._frame(size, now_ms)

    def _frame(self, size: int, now_ms: int) -> TapeFrame:
        heads, cents, sequences, lots = self._heads, self._cents, self._sequences, self._lots
        tables = self._variants[self._hours.is_regular(now_ms)]
        drawn = self._random.choices(self._numbers, cum_weights=self._weights, k=size)
        # One random start in the table is as good as a draw per trade, and cheaper.
        at = int(self._random.random() * _VARIANTS)
        number = self._id
        off_exchange = f',"trfi":201,"trft":{now_ms - 3}}}'
        made = []
        for symbol in drawn:
            at = (at + 1) % _VARIANTS
            exchange, volume, is_trf, move, step, away = tables[lots[symbol]][at]
            number += 1
            price = cents[symbol] + move
            cents[symbol] = price = price if price > 100 else 100
            if away:
                price += price * away // 1_000
            sequences[symbol] = sequence = sequences[symbol] + step
            made.append(
                f'{heads[symbol]}{exchange}{number}","z":3,"p":{price // 100}.{price % 100:02d}{volume}{now_ms}'
                f',"q":{sequence}{off_exchange if is_trf else "}"}'
            )
        self._id = number
        return TapeFrame(made, drawn)


def names(count: int, avoid: frozenset[str]) -> Iterator[str]:
    """Made-up symbols: A to Z, AA to ZZ and so on, but for those to avoid."""
    number = 0
    while count:
        number += 1
        name, rest = "", number
        while rest:
            rest, letter = divmod(rest - 1, 26)
            name = string.ascii_uppercase[letter] + name
        if name not in avoid:
            count -= 1
            yield name
