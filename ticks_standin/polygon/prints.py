"""The prints of one US stock: what a real tape has beside regular trades, and in which share.

Shares follow ``_MIXTURE``; sources: one session of AAPL with 1.2 million prints (a third form prices, nearly all others
are odd lots; average-price and derivatively priced ones are some 3 %, measured by MarketTickStreamer.jl), UTP's vendor
alert of October 2025 on round lots, the UTDF specification on auctions and official prices. Without I/O.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from ticks_standin.market.bars import UNITS
from ticks_standin.market.hours import Hours, TradingHours
from ticks_standin.polygon.conditions import (
    CORRECTED_CLOSE,
    FORM_T,
    LATE,
    ODD_LOT,
    OFFICIAL_CLOSE,
    OFFICIAL_OPEN,
    OUT_OF_SEQUENCE_EXTENDED,
)

TRF = 4
"""The id of the trade reporting facilities, to which trades outside the exchanges are reported: a third of all."""

EXCHANGES = (TRF, TRF, TRF, TRF, 11, 12, 12, 8, 19, 15, 10)

CANCELLED, ERRONEOUS, CORRECTED = 8, 7, 1
"""Corrections of a trade as REST tells them: NYSE's codes, which Massive uses."""

RECORD_OF = {CANCELLED: 10, ERRONEOUS: 11, CORRECTED: 12}
"""The code of the record that comes later with the same id; that of a correction has the incorrect data."""


class Kind(Enum):
    """What a print is."""

    REGULAR = "regular"
    ODD_LOT = "odd lot"
    AVERAGE_PRICE = "average price"
    DERIVED = "derivatively priced"
    CONTINGENT = "contingent"
    OTHER = "another price that is not the market's"
    LATE = "out of sequence"
    UNKNOWN = "a condition that no table has"


_MIXTURE = (
    (Kind.ODD_LOT, 0.66),
    (Kind.AVERAGE_PRICE, 0.02),
    (Kind.DERIVED, 0.006),
    (Kind.CONTINGENT, 0.002),
    (Kind.OTHER, 0.002),
    (Kind.LATE, 0.006),
    (Kind.UNKNOWN, 0.001),
)
"""What share of prints is of which kind; all others are regular."""

_AWAY = {
    Kind.AVERAGE_PRICE: (0.005, 0.05),
    Kind.DERIVED: (0.003, 0.03),
    Kind.CONTINGENT: (0.002, 0.01),
    Kind.OTHER: (0.005, 0.04),
    Kind.LATE: (0.001, 0.006),
}
"""How far a price is from the market's, as a share of it: at least, at most."""

_OTHERS = (7, 20, 21, 22, 29)
_UNKNOWN = (99, 99, 57)
_REGULAR = ((), (), (), (14, 41), (14, 41), (14,), (41,))
_AUCTION_WITHIN_MS = 5 * 60_000
_CORRECTED_CLOSE_AFTER_MS = 15 * 60_000
_CORRECTED_CLOSES = 0.02
_SAME_DAY_MS = 6 * 3_600_000
_UTP = 3


class Print(NamedTuple):
    """One print; ``volume`` in 1/``UNITS``.

    ``lag_ms`` is for how long it was under way. ``closes`` is that of an event. ``fate`` is the code of the correction
    that it gets later, if any; then ``right`` is the corrected price and volume.
    """

    price: float
    volume: int
    exchange: int
    conditions: tuple[int, ...] = ()
    lag_ms: int = 0
    closes: int = 0
    fate: int = 0
    right: tuple[float | None, int] = (None, 0)


def round_lot(price: float) -> int:
    """Shares of a round lot since November 2025; by the average price of a month, here by that of the start."""
    return 100 if price <= 250 else 40 if price <= 1_000 else 10 if price <= 10_000 else 1


def with_session(conditions: tuple[int, ...], *, regular: bool) -> tuple[int, ...]:
    """Conditions of a trade, with Form T in extended hours; one that is late has another of the same place."""
    return conditions if regular else _extended(conditions)


@lru_cache(maxsize=256)
def _extended(conditions: tuple[int, ...]) -> tuple[int, ...]:
    own = OUT_OF_SEQUENCE_EXTENDED if LATE in conditions else FORM_T
    return tuple(sorted({*conditions, own} - {LATE}))


class Prints:
    """Makes the prints of one symbol, one at a time, from the prices of its market."""

    def __init__(
        self,
        price: float,
        *,
        primary: int,
        tape: int,
        draw: random.Random,
        hours: TradingHours,
        taken_back: float = 0.0,
        auctions: bool = True,
        unknown: bool = True,
    ) -> None:
        """``primary`` is the exchange that lists it; ``taken_back`` the share of prints that are corrected later.

        ``unknown`` is whether some have conditions that nobody knows.
        """
        self.lot = round_lot(price)
        self._primary = primary
        self._tape = tape
        self._random = draw
        self._hours = hours
        self._taken_back = taken_back
        self._auctions = auctions
        self._unknown = unknown
        self._held: set[tuple[str, int]] = set()
        self._waiting: deque[Print] = deque()
        self._before_ms = 0
        self._elsewhere: Print | None = None
        self._close = 0.0

    def next(self, price: float, size: float, time_ms: int, *, fractional: float) -> Print:
        """The print of a trade at the market's ``price``; the share ``fractional`` is of less than whole shares."""
        hours = self._hours.regular(time_ms)
        before, self._before_ms = self._before_ms, time_ms
        if hours is not None and self._auctions and before > hours.open_ms - _SAME_DAY_MS:
            special = self._special(price, size, before, time_ms, hours)
            if special is not None:
                return special
        if self._waiting:
            return self._waiting.popleft()
        regular = hours is not None and hours.open_ms <= time_ms < hours.close_ms
        return self._ordinary(price, size, regular=regular, fractional=fractional)

    def _special(self, price: float, size: float, before: int, now: int, hours: Hours) -> Print | None:
        """The auction, or the corrected close, that is due between two times of a day, both in milliseconds."""
        opens, closes = hours
        if before < opens <= now < opens + _AUCTION_WITHIN_MS and self._is_new("open", hours):
            return self._open(price, size)
        if opens <= before < closes <= now < closes + _AUCTION_WITHIN_MS and self._is_new("close", hours):
            return self._auction_close(price, size)
        is_due = before < closes + _CORRECTED_CLOSE_AFTER_MS <= now and self._close
        if is_due and self._is_new("corrected", hours) and self._random.random() < _CORRECTED_CLOSES:
            return Print(round(self._close + 0.01, 2), 0, self._primary, (CORRECTED_CLOSE, 41), closes=2)
        return None

    def _is_new(self, what: str, hours: Hours) -> bool:
        new = (what, hours.open_ms) not in self._held
        self._held.add((what, hours.open_ms))
        return new

    def _open(self, price: float, size: float) -> Print:
        auction = Print(price, self._auctioned(size), self._primary, (9, 25, 41) if self._tape == _UTP else (17,))
        self._close = 0.0
        # Volume and price repeat the auction's: who counts both has it twice.
        self._waiting.append(auction._replace(conditions=(OFFICIAL_OPEN,)))
        return auction

    def _auction_close(self, price: float, size: float) -> Print:
        auction = Print(price, self._auctioned(size), self._primary, (8, 9, 41) if self._tape == _UTP else (19,))
        self._close = price
        self._waiting.append(auction._replace(conditions=(OFFICIAL_CLOSE,), closes=1))
        if self._elsewhere is not None:
            # Each exchange has an official close of its own; only that of the listing exchange closes the day.
            self._waiting.append(self._elsewhere._replace(conditions=(OFFICIAL_CLOSE,), lag_ms=0))
        return auction

    def _auctioned(self, size: float) -> int:
        return self.lot * (50 + int(size) * 20) * UNITS

    def _ordinary(self, price: float, size: float, *, regular: bool, fractional: float) -> Print:
        draw, lot = self._random.random, self.lot
        exchange = EXCHANGES[int(draw() * len(EXCHANGES))]
        if draw() < fractional:
            whole = min(int(size / 10), lot - 1)
            part = whole * UNITS + int(1 + draw() * 998) * (UNITS // 1_000)
            return Print(self._near(price), part, exchange, with_session((ODD_LOT,), regular=regular))
        whole = lot * max(round(size / 60), 1) * UNITS
        if draw() < self._taken_back:
            return self._wrong(price, whole, regular=regular)
        kind = self._kind()
        if kind is Kind.ODD_LOT and lot > 1:
            conditions: tuple[int, ...] = (14, ODD_LOT, 41) if exchange != TRF and draw() < 0.5 else (ODD_LOT,)
            shares = int(1 + draw() * draw() * (lot - 1)) * UNITS
            return Print(self._near(price), shares, exchange, with_session(conditions, regular=regular))
        if kind in _AWAY:
            return self._away(kind, price, whole, exchange, regular=regular)
        conditions = _REGULAR[int(draw() * len(_REGULAR))]
        if kind is Kind.UNKNOWN and self._unknown:
            conditions = (_UNKNOWN[int(draw() * len(_UNKNOWN))],)
        made = Print(price, whole, exchange, with_session(conditions, regular=regular))
        if regular and exchange not in (TRF, self._primary):
            self._elsewhere = made
        return made

    def _kind(self) -> Kind:
        drawn = self._random.random()
        for kind, share in _MIXTURE:
            drawn -= share
            if drawn < 0:
                return kind
        return Kind.REGULAR

    def _away(self, kind: Kind, price: float, volume: int, exchange: int, *, regular: bool) -> Print:
        draw = self._random.random
        conditions, lag_ms, digits = (LATE,), 0, 2
        if kind is Kind.AVERAGE_PRICE:
            conditions, digits, volume = (2,), 4, volume * (1 + int(draw() * 40))
        elif kind is Kind.DERIVED:
            conditions = (10,)
        elif kind is Kind.CONTINGENT:
            conditions = (53,) if draw() < 0.7 else (52,)
        elif kind is Kind.OTHER:
            conditions = (_OTHERS[int(draw() * len(_OTHERS))],)
        else:
            lag_ms = 10_000 + int(draw() * 600_000)
        where = exchange if kind is Kind.CONTINGENT else TRF
        return Print(
            self._off(price, *_AWAY[kind], digits=digits),
            volume,
            where,
            with_session(conditions, regular=regular),
            lag_ms,
        )

    def _wrong(self, price: float, volume: int, *, regular: bool) -> Print:
        """A trade that is taken back or corrected later; half of them have a price far from the market's."""
        drawn = self._random.random()
        fate = CANCELLED if drawn < 0.6 else ERRONEOUS if drawn < 0.7 else CORRECTED
        wrong = self._off(price, 0.02, 0.2) if self._random.random() < 0.5 else price
        sent = volume * 10 if fate == CORRECTED else volume
        right = (price, volume) if fate == CORRECTED else (None, 0)
        return Print(wrong, sent, TRF, with_session((), regular=regular), fate=fate, right=right)

    def _near(self, price: float) -> float:
        """Some cents away: odd lots trade inside and outside the range of round lots."""
        return max(round(price + int(self._random.random() * 11 - 5) / 100, 2), 0.01)

    def _off(self, price: float, least: float, most: float, *, digits: int = 2) -> float:
        share = least + self._random.random() * (most - least)
        return max(round(price * (1 + (share if self._random.random() < 0.5 else -share)), digits), 0.01)


class PlainPrints:
    """Regular trades only: every one may change everything, at any time of the day."""

    def __init__(self, draw: random.Random) -> None:
        self._random = draw

    def next(self, price: float, size: float, time_ms: int, *, fractional: float) -> Print:
        """As :meth:`Prints.next`."""
        draw = self._random.random
        exchange = EXCHANGES[int(draw() * len(EXCHANGES))]
        volume = max(round(size), 1) * UNITS
        if draw() < fractional:
            volume = int(size / 10) * UNITS + int(1 + draw() * 998) * (UNITS // 1_000)
        return Print(price, volume, exchange, _REGULAR[int(draw() * len(_REGULAR))])
