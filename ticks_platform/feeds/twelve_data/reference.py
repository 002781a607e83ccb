"""Twelve Data's REST API for reference data: `/stocks`, `/etfs`, `/indices`, `/forex_pairs`, `/cryptocurrencies` and
`/commodities`, each filtered by `symbol`.

Sources, with their grade: A the provider's text or a captured answer, B two clients that agree, C one reader.

- Fields of `/stocks`: symbol, name, currency, exchange, mic_code, country, type (support article 5620513, OpenAPI
  document); of `/indices` and `/etfs` the same but `type`; of pairs `currency_base` and `currency_quote`, which are
  names as Euro, so that codes are read off the symbol. A, B.
- `/etfs` is called `/etf` by older clients. The documentation of 2026 has `/etfs`. A.
- Prices of London are in `GBp`, pence. C, but seen in many clients.
- Parameters `symbol` and `exchange` filter, and a symbol that is not there gives an empty list. B.
- A request costs one credit. Some clients use these lists without a key. B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError, UnknownSymbolError, base_url
from ticks_platform.feeds.reference import Facts, Reference, code, mic_code, pair
from ticks_platform.feeds.symbol_settings import currency_code
from ticks_platform.feeds.twelve_data.history import API, error_of
from ticks_platform.feeds.twelve_data.names import symbol_name

_TYPES = {"etf": "etf", "exchange-traded fund": "etf", "mutual fund": "fund", "closed-end fund": "fund", "bond": "bond"}
"""Asset classes by `type` of `/stocks`; all others, such as preferred shares, are stocks."""

_CLASSES = {"/etfs": "etf", "/indices": "index"}

_PLACES = {"commodity": "/commodities", "currency": "/forex_pairs", "crypto": "/cryptocurrencies"}


class _Body(msgspec.Struct):
    status: str | None = None
    code: int | None = None
    message: str | None = None
    data: list[dict[str, Any]] | None = None


_decode = msgspec.json.Decoder(_Body, strict=False).decode


class TwelveDataReference(Reference):
    """One request for each list in which a symbol may be, until one has it."""

    requests_per_minute = 8  # the Basic plan's credits
    requests_per_day = 800

    def __init__(self, *, url: str, api_key: str | None) -> None:
        self._base = base_url(url, API, "twelvedata.com")
        self._api_key = api_key or ""

    def places(self, symbol: str) -> Sequence[str]:
        ticker, _, exchange = symbol_name(symbol).partition(":")
        base, slash, quote = ticker.partition("/")
        if slash:
            likely = _PLACES[pair(base, quote).asset_class or "crypto"]
            lists = [likely, *(place for place in _PLACES.values() if place != likely)]
        else:
            lists = ["/stocks", "/etfs", "/indices", "/commodities"]
        query = {"symbol": ticker, **({"exchange": exchange} if exchange else {})}
        return [f"{place}?{urlencode(query)}" for place in lists]

    def request(self, place: str) -> HistoryRequest:
        return HistoryRequest(self._base + place, {"X-TD-APIKEY": self._api_key})

    def facts(self, symbol: str, place: str, answer: HistoryAnswer) -> Facts | None:
        try:
            body = _decode(answer.body)
        except UNDECODABLE as invalid:
            if answer.status == 200:
                raise TransientError(f"Twelve Data sent an invalid response: {invalid}") from None
            body = _Body(status="error")
        if answer.status != 200 or (body.status or "").lower() == "error":
            error = error_of(answer, body.code, body.message, symbol)
            if error is None or isinstance(error, UnknownSymbolError):
                return None
            raise error
        ticker, _, exchange = symbol_name(symbol).partition(":")
        items = [item for item in body.data or () if _text(item, "symbol").casefold() == ticker.casefold()]
        if exchange:
            wanted = exchange.casefold()
            items = [item for item in items if wanted in _exchanges(item)]
        else:
            # A bare symbol is the one of the US, if there is one.
            items = [item for item in items if _text(item, "country") == "United States"] or items
        return _common([_facts(place.partition("?")[0], item) for item in items])


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return value.strip() if isinstance(value, str) else ""


def _exchanges(item: dict[str, Any]) -> set[str]:
    several = item.get("available_exchanges")
    names = [each for each in several if isinstance(each, str)] if isinstance(several, list) else []
    return {name.casefold() for name in (*names, _text(item, "exchange"), _text(item, "mic_code")) if name}


def _facts(place: str, item: dict[str, Any]) -> Facts:
    base, slash, quote = _text(item, "symbol").partition("/")
    if place == "/commodities":
        is_metal = "metal" in _text(item, "category").lower()
        currency = code(quote.upper()) if slash else None
        return Facts("commodity", currency=currency, may_be_negative=False if is_metal else None)
    if slash:
        sides = pair(base, quote)
        return sides if place == "/forex_pairs" else sides._replace(asset_class="crypto")
    asset_class = _CLASSES.get(place) or _TYPES.get(_text(item, "type").lower(), "stock")
    return Facts(
        asset_class,
        mic_code(_text(item, "mic_code")),
        code(currency_code(_text(item, "currency"))),
        may_be_negative=None if asset_class == "index" else False,
    )


def _common(found: Sequence[Facts]) -> Facts | None:
    """What all listings of a symbol have in common; None without any."""
    if not found:
        return None
    return Facts(*(values[0] if len(set(values)) == 1 else None for values in zip(*found, strict=True)))
