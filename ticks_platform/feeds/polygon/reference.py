"""Polygon.io's (Massive's) REST API for reference data: `/v3/reference/tickers/{ticker}`.

Sources, with their grade: A the provider's text or a captured answer, B two clients that agree, C one reader.

- Fields `market`, `type`, `primary_exchange` (a MIC), `currency_name`, `currency_symbol`, `base_currency_symbol`: the
  official clients (client-go, client-python) and captured answers. A. `currency_name` is a code in small letters for
  stocks (`usd`), and a name for pairs (`United States Dollar`), which have `currency_symbol`. A.
- `round_lot` is in the details of stocks only, as a number (captured answers of AAPL and PRG: 100). A. That it is the
  lot by price since 2025-11-03 was not seen.
- Codes of `type`: lists in clients (CS, PFD, ADRC, ETF, ETN, FUND, UNIT, RIGHT, WARRANT, SP, BOND). B. The provider
  documents the endpoint that lists them, and not the list.
- An unknown ticker has status 404 and NOT_FOUND. C.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from ticks_platform.feeds.decoding import UNDECODABLE, Finite
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError, UnknownSymbolError, base_url
from ticks_platform.feeds.polygon.history import Body, decode_body, error_of
from ticks_platform.feeds.polygon.names import rest_ticker
from ticks_platform.feeds.reference import Facts, Reference, code, mic_code, pair
from ticks_platform.feeds.symbol_settings import currency_code

_TYPES = {
    **dict.fromkeys(("CS", "PFD", "ADRC", "ADRP", "ADRR", "GDR", "NYRS", "OS", "UNIT"), "stock"),
    **dict.fromkeys(("ETF", "ETN", "ETS", "ETV"), "etf"),
    **dict.fromkeys(("BOND", "AGEN"), "bond"),
    "FUND": "fund",
    "INDEX": "index",
}
"""Asset classes by `type`; all others, such as warrants, are `other`."""


class _Ticker(msgspec.Struct):
    market: str | None = None
    type: str | None = None
    primary_exchange: str | None = None
    currency_name: str | None = None
    currency_symbol: str | None = None
    base_currency_symbol: str | None = None
    round_lot: Finite | None = None


class _Details(msgspec.Struct):
    results: _Ticker | None = None


_decode = msgspec.json.Decoder(_Details, strict=False).decode


class PolygonReference(Reference):
    """One request a symbol."""

    requests_per_minute = 5  # the free plan

    def __init__(self, *, url: str, api_key: str | None, market: str, domain: str) -> None:
        self._base = base_url(url, f"https://api.{domain}", "massive.com", "polygon.io")
        self._api_key = api_key or ""
        self._market = market

    def places(self, symbol: str) -> Sequence[str]:
        return (f"/v3/reference/tickers/{quote(rest_ticker(symbol, self._market), safe='')}",)

    def request(self, place: str) -> HistoryRequest:
        return HistoryRequest(self._base + place, {"Authorization": f"Bearer {self._api_key}"})

    def facts(self, symbol: str, place: str, answer: HistoryAnswer) -> Facts | None:
        if answer.status != 200:
            try:
                body = decode_body(answer.body)
            except UNDECODABLE:
                body = Body()
            error = error_of(answer, body, symbol)
            if isinstance(error, UnknownSymbolError):
                return None
            raise error
        try:
            ticker = _decode(answer.body).results
        except UNDECODABLE as invalid:
            raise TransientError(f"Polygon sent an invalid response: {invalid}") from None
        return None if ticker is None else _facts(ticker)


def _facts(ticker: _Ticker) -> Facts:
    # The name of a currency is its code for stocks only, and no code has a space.
    currency = code(currency_code(ticker.currency_symbol or ticker.currency_name or ""))
    if ticker.market == "indices":
        return Facts("index", currency=currency)
    if ticker.market in ("fx", "crypto"):
        sides = pair(ticker.base_currency_symbol or "", ticker.currency_symbol or "")
        return sides._replace(asset_class="crypto") if ticker.market == "crypto" else sides
    lot = ticker.round_lot if ticker.round_lot is not None and ticker.round_lot > 0 else None
    asset_class = None if ticker.type is None else _TYPES.get(ticker.type.upper(), "other")
    return Facts(asset_class, mic_code(ticker.primary_exchange), currency, None, lot, may_be_negative=False)
