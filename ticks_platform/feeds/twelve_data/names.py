"""Names of Twelve Data's symbols: which name of feeds.yaml a price belongs to.

A symbol may be asked for with its exchange (`RY:TSX`), and keeps it in its name. A price names the symbol alone, in
upper case, and its exchange beside it: `exchange`, `mic_code`, or neither. `mic_code` is known to be wrong or missing
at times (twelvedata-python#61, #62, #70, #71), so `exchange` is believed first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ticks_platform.feeds.connector import AskedSymbol
from ticks_platform.feeds.symbol_settings import currency_code
from ticks_platform.feeds.twelve_data import exchanges

MAX_REMEMBERED = 10_000
"""Different combinations of symbol, exchange, code and currency whose names are remembered."""

_LONGEST = 60
"""Characters of a provider's text that a reason repeats."""


class Misfit(NamedTuple):
    """A price that belongs to no name, or that could belong to several."""

    reason: str


class Place(NamedTuple):
    """What a price says of where it was made. Anything but text counts as missing."""

    symbol: str
    exchange: object
    mic_code: object
    currency: object


class _Asked(NamedTuple):
    """A name of feeds.yaml."""

    name: str
    exchange: str | None
    currency: str | None

    def may_be_in(self, currency: str | None) -> bool:
        return currency is None or self.currency is None or self.currency == currency_code(currency)


def symbol_name(symbol: str) -> str:
    """The name of a symbol of feeds.yaml: upper case, and its exchange as the provider spells it, or by its code."""
    ticker, colon, exchange = symbol.partition(":")
    return ticker.strip().upper() + colon + exchanges.spelled(exchange.strip())


class Names:
    """The names of the symbols that are asked for."""

    def __init__(self, symbols: Iterable[AskedSymbol]) -> None:
        """Raises ValueError if two of them are one listing, or if one is neither SYMBOL nor SYMBOL:EXCHANGE."""
        self.are_plain = True
        """Whether a price's symbol tells its name as it is, since it is answered in upper case."""
        self._asked: dict[str, list[_Asked]] = {}
        for symbol, currency in symbols:
            name = symbol_name(symbol)
            ticker, colon, exchange = name.partition(":")
            if not ticker or (colon and not exchange) or ":" in exchange:
                raise ValueError("must be SYMBOL or SYMBOL:EXCHANGE, such as RY or RY:TSX")
            of_ticker = self._asked.setdefault(ticker, [])
            same = next((each for each in of_ticker if each.name.casefold() == name.casefold()), None)
            if same is not None:
                raise ValueError(f"{symbol} is {same.name}, which is listed already")
            of_ticker.append(_Asked(name, exchange or None, currency))
            # The provider spells some symbols with small letters among others: XAGg/TRY.
            is_mixed = symbol not in (name, name.lower())
            self.are_plain = self.are_plain and not (exchange or currency or is_mixed)
        self._found: dict[Place, str | Misfit] = {}

    def find(self, place: Place) -> str | Misfit:
        """The name that a price belongs to. A symbol that is not asked for, or no longer, is its own name."""
        try:
            found = self._found.get(place)
        except TypeError:  # a list or an object, which is no text
            return self._find(place)
        if found is None:
            if len(self._found) >= MAX_REMEMBERED:
                self._found.clear()
            found = self._found[place] = self._find(place)
        return found

    def _find(self, place: Place) -> str | Misfit:
        name = symbol_name(place.symbol)
        ticker, _, own_exchange = name.partition(":")
        asked = self._asked.get(ticker)
        if asked is None:
            return name
        exchange = exchanges.spelled(_text(place.exchange) or own_exchange) or None
        mic_code, currency = _text(place.mic_code), _text(place.currency)
        found = self._by_place(asked, ticker, exchange, mic_code, currency)
        if isinstance(found, _Asked) and not found.may_be_in(currency):
            return Misfit(
                f"{found.name} in {_cut(currency)}, where feeds.yaml says {found.currency}: this is another listing. "
                f"Ask for it by its exchange, such as {ticker}:NYSE, or correct the currency"
            )
        return found.name if isinstance(found, _Asked) else found

    def _by_place(
        self, asked: Sequence[_Asked], ticker: str, exchange: str | None, mic_code: str | None, currency: str | None
    ) -> _Asked | Misfit:
        listings = [each for each in asked if each.exchange is not None]
        bare = next((each for each in asked if each.exchange is None), None)
        if not listings and bare is not None:
            return bare
        if exchange is not None:
            fitting = [each for each in listings if (each.exchange or "").casefold() == exchange.casefold()]
            if not fitting and not exchanges.is_known(exchange):
                fitting = _of_code(listings, mic_code)
        elif mic_code is not None:
            # A code of the US beside another currency is one of the wrong ones.
            is_wrong = currency is not None and currency_code(currency) != "USD"
            fitting = [
                each
                for each in _of_code(listings, mic_code)
                if not (is_wrong and exchanges.is_of_us(each.exchange or ""))
            ]
        else:
            fitting = [each for each in asked if each.may_be_in(currency)]
            if len(fitting) != 1:
                return Misfit(
                    f"{ticker} without exchange and mic_code, where feeds.yaml has {_listed(asked)}: it may be "
                    "either's. Give each its currency in feeds.yaml if they differ in it, or ask for one of them only"
                )
        if len(fitting) > 1:
            return Misfit(
                f"{ticker} of {_cut(exchange or mic_code)}, which is an exchange of {_listed(fitting)}: it may be "
                "either's. Ask for one of them only"
            )
        if fitting:
            return fitting[0]
        if bare is not None:
            return bare
        where = _cut(exchange or mic_code) + (f" in {_cut(currency)}" if currency else "")
        return Misfit(
            f"{ticker} of {where}, where feeds.yaml has {_listed(asked)}. Add that listing to the feed's "
            "symbols if it is to be stored"
        )


def _of_code(listings: Iterable[_Asked], mic_code: str | None) -> list[_Asked]:
    if mic_code is None:
        return []
    code = mic_code.upper()
    return [each for each in listings if code in exchanges.codes(each.exchange or "")]


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _listed(asked: Iterable[_Asked]) -> str:
    return " and ".join(each.name for each in asked)


def _cut(text: str | None) -> str:
    return (text or "")[:_LONGEST]
