"""Splits and dividends of the made-up stocks. They change no traded price, only what REST makes of past ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime, time

import msgspec

from ticks_standin.market.hours import NEW_YORK


class Split(msgspec.Struct, frozen=True):
    """``old`` shares become ``new`` ones, from the pre-market of a day ``on``."""

    symbol: str
    on: date
    old: float
    new: float


class Dividend(msgspec.Struct, frozen=True):
    """``cash`` dollars a share, which a buyer from the day ``on`` no longer gets; ``close`` is the price before."""

    symbol: str
    on: date
    cash: float
    close: float


class Actions:
    """What is announced; it may be changed and withdrawn."""

    def __init__(self, known: Iterable[Split | Dividend] = ()) -> None:
        self._known = list(known)

    def announce(self, action: Split | Dividend) -> None:
        """Add one; one of the same kind, symbol and day is replaced."""
        same = [type(action), action.symbol, action.on]
        self._known = [each for each in self._known if [type(each), each.symbol, each.on] != same]
        self._known.append(action)

    def withdraw(self, symbol: str) -> None:
        """Remove all of a symbol."""
        self._known = [each for each in self._known if each.symbol != symbol]

    def splits(self) -> list[Split]:
        """All splits in the order of their days."""
        return sorted((each for each in self._known if isinstance(each, Split)), key=lambda each: each.on)

    def dividends(self) -> list[Dividend]:
        """All dividends in the order of their days."""
        return sorted((each for each in self._known if isinstance(each, Dividend)), key=lambda each: each.on)

    def split_factor(self, symbol: str, start_ms: int, now_ms: int) -> float:
        """What a price at ``start_ms`` is multiplied by, for all splits after it that are executed at ``now_ms``."""
        later = [each for each in self.splits() if each.symbol == symbol and start_ms < midnight_ms(each.on) <= now_ms]
        return math.prod(each.old for each in later) / math.prod(each.new for each in later)

    def cumulative_factor(self, action: Split | Dividend, now_ms: int) -> float | None:
        """The factor of an action and of all later ones of its kind; None before its day."""
        if midnight_ms(action.on) > now_ms:
            return None
        if isinstance(action, Split):
            return self.split_factor(action.symbol, midnight_ms(action.on) - 1, now_ms)
        return math.prod(
            1 - each.cash / each.close
            for each in self.dividends()
            if each.symbol == action.symbol and each.on >= action.on and midnight_ms(each.on) <= now_ms
        )


def midnight_ms(day: date) -> int:
    """When a day begins in New York, in milliseconds of UNIX time."""
    return round(datetime.combine(day, time(), NEW_YORK).timestamp()) * 1_000
