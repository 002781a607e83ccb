"""Twelve Data's catalogs: stocks, ETFs, pairs, indices and commodities, with what is documented of each.

Sources of the facts: the docs of 2026 (samples, parameters; ``/etfs``, which older clients call ``/etf``), support
article 5620513, clients that read the live answers. ``currency_base`` is a name as Euro, which these clients expect,
and price events have too; the docs' sample has a code. ``isin`` and ``cusip`` need an add-on: the text in place of them
is what users see. That a catalog is filtered without regard to case is an assumption.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.provider.rest import Answer, Question

_ADD_ON = "request_access_via_add_ons"
_CFI = {Kind.STOCK: "ESVUFR", Kind.PREFERRED: "EPXXXX", Kind.ETF: "CECILU"}
# Their events have no code; their catalogs do.
_MICS = {"TSX": "XTSE", "CBOE": "XCBO", "NSE": "XNSE"}
_MAJOR = frozenset({"EUR/USD", "GBP/USD", "USD/JPY"})
_METALS = ("XAU/", "XAG/")
_FUTURE = "Standardized contract to buy or sell a set quantity of crude oil at a future date."
_FILTERS = ("symbol", "exchange", "mic_code", "country", "type", "category")

_encode = msgspec.json.Encoder().encode


class Catalogs:
    """The lists of what the provider has."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings
        self._served = {
            "/stocks": self._stocks,
            "/etfs": self._etfs,
            "/etf": self._etfs,
            "/forex_pairs": self._currencies,
            "/cryptocurrencies": self._cryptocurrencies,
            "/indices": self._indices,
            "/commodities": self._commodities,
        }

    def serves(self, path: str) -> bool:
        """Whether a path is one of them."""
        return path in self._served

    def answer(self, question: Question) -> Answer:
        """The items that match the query; none if nothing does."""
        query = question.query
        symbol = query.get("symbol", "")
        if symbol and question.path == "/stocks":
            self._listings.find(symbol, kind=Kind.STOCK)  # which makes it up, if any symbol is accepted
        items = self._served[question.path]()
        for name in _FILTERS:
            if wanted := query.get(name, "").lower():
                items = [item for item in items if _has(item, name, wanted)]
        for name in ("currency_base", "currency_quote"):
            if wanted := query.get(name, "").lower():
                side = name == "currency_quote"
                items = [
                    item
                    for item in items
                    if wanted in (item.get(name, "").lower(), item["symbol"].lower().split("/")[side])
                ]
        body = {"count": len(items), "data": items, "status": "ok"}
        return Answer(body=_encode(body), subject=f"{question.path} {symbol}".strip(), results=len(items))

    def _of(self, *kinds: Kind) -> list[Instrument]:
        # Letters of its symbols are upper case: what has others is Polygon's.
        return [each for each in self._listings.all() if each.kind in kinds and each.symbol == each.symbol.upper()]

    def _stocks(self) -> list[dict[str, Any]]:
        return [_equity(each, typed=True) for each in self._of(Kind.STOCK)]

    def _etfs(self) -> list[dict[str, Any]]:
        return [_equity(each, typed=False) for each in self._of(Kind.ETF)]

    def _currencies(self) -> list[dict[str, Any]]:
        return [
            {
                "symbol": each.symbol,
                "currency_group": "Major" if each.symbol in _MAJOR else "Minor",
                "currency_base": each.currency_base,
                "currency_quote": each.currency_quote,
            }
            for each in self._of(Kind.CURRENCY)
            if not each.symbol.startswith(_METALS)
        ]

    def _cryptocurrencies(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for each in self._of(Kind.CRYPTO):
            item = found.setdefault(
                each.symbol,
                {
                    "symbol": each.symbol,
                    "available_exchanges": [],
                    "currency_base": each.currency_base,
                    "currency_quote": each.currency_quote,
                },
            )
            item["available_exchanges"] = sorted([*item["available_exchanges"], each.exchange])
        return list(found.values())

    def _indices(self) -> list[dict[str, Any]]:
        return [
            {
                "symbol": each.symbol,
                "name": each.title,
                "country": each.country,
                "currency": each.currency,
                "exchange": each.exchange,
                "mic_code": _mic_code(each),
            }
            for each in self._of(Kind.INDEX)
        ]

    def _commodities(self) -> list[dict[str, Any]]:
        metals = [each for each in self._of(Kind.CURRENCY) if each.symbol.startswith(_METALS)]
        spot = [
            {
                "symbol": each.symbol,
                "name": each.currency_base,
                "category": "Precious Metal",
                "description": f"Spot price per troy ounce of {(each.currency_base or '').split()[0].lower()}.",
            }
            for each in metals
        ]
        futures = [
            {"symbol": each.symbol, "name": each.title, "category": "Energy", "description": _FUTURE}
            for each in self._of(Kind.COMMODITY)
        ]
        return spot + futures


def _has(item: dict[str, Any], name: str, wanted: str) -> bool:
    if name == "exchange" and "available_exchanges" in item:
        return wanted in [exchange.lower() for exchange in item["available_exchanges"]]
    # The name of an exchange, or its code: support article 5620513.
    fields = ("exchange", "mic_code") if name == "exchange" else (name,)
    return wanted in [str(item.get(field, "")).lower() for field in fields]


def _equity(instrument: Instrument, *, typed: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "symbol": instrument.symbol,
        "name": instrument.title,
        "currency": instrument.currency,
        "exchange": instrument.exchange,
        "mic_code": _mic_code(instrument),
        "country": instrument.country,
    }
    if typed:
        item["type"] = instrument.kind.value
    return item | {"figi_code": "", "cfi_code": _CFI[instrument.kind], "isin": _ADD_ON, "cusip": _ADD_ON}


def _mic_code(instrument: Instrument) -> str:
    return instrument.mic_code or _MICS.get(instrument.exchange or "", "")
