"""Polygon's reference data of tickers: ``/v3/reference/tickers/{ticker}``, and the list ``/v3/reference/tickers``.

Sources of the facts: the official docs of both (samples of AAPL and A, parameters, the case of tickers), the official
clients (massive 2.9.1, client-go), an answer for a pair (X:ETCUSD). Fields that need facts of a company (address,
employees, figi) are left out. The text for an unknown ticker, and that the list leaves out what details have besides,
are as users report them.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.polygon.prints import round_lot
from ticks_standin.provider.rest import Answer, Question, RefusedError

_LIST = "/v3/reference/tickers"
_DETAILS = re.compile(r"/v3/reference/tickers/([^/]+)")
_TYPES = {Kind.STOCK: "CS", Kind.PREFERRED: "PFD", Kind.ETF: "ETF"}
_PREFIXES = {Kind.CRYPTO: "X:", Kind.CURRENCY: "C:", Kind.INDEX: "I:"}
_MARKETS = {Kind.CRYPTO: "crypto", Kind.CURRENCY: "fx", Kind.INDEX: "indices"}
_NAMES = {"USD": "United States Dollar"}
_OPERATING = {"XNGS": "XNAS"}
_UPDATED = "2026-11-02T00:00:00Z"
_LISTED = "1999-09-22"
_USUAL, _MOST = 100, 1_000
_RANGES: dict[str, Callable[[str, str], bool]] = {
    "ticker": lambda ticker, bound: ticker == bound,
    "ticker.gte": lambda ticker, bound: ticker >= bound,
    "ticker.gt": lambda ticker, bound: ticker > bound,
    "ticker.lte": lambda ticker, bound: ticker <= bound,
    "ticker.lt": lambda ticker, bound: ticker < bound,
}
_FILTERS = {"type": "type", "market": "market", "exchange": "primary_exchange"}

_encode = msgspec.json.Encoder().encode


class Tickers:
    """What the provider says of its tickers. Their letters tell them apart: BACpB is not BACPB."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings

    def serves(self, path: str) -> bool:
        """The list and the details."""
        return path == _LIST or bool(_DETAILS.fullmatch(path))

    def answer(self, question: Question) -> Answer:
        """The details of one ticker, or a page of the list. Raises RefusedError for an unknown ticker."""
        if found := _DETAILS.fullmatch(question.path):
            return self._details(found[1], question)
        return self._page(question)

    def _known(self) -> dict[str, Instrument]:
        known: dict[str, Instrument] = {}
        for instrument in self._listings.all():
            if instrument.is_us_equity or instrument.kind in _PREFIXES:
                known.setdefault(_ticker(instrument), instrument)
        return known

    def _details(self, ticker: str, question: Question) -> Answer:
        instrument = self._known().get(ticker)
        if instrument is None and ":" not in ticker:
            # It may be one that is made up for whoever asks.
            instrument = self._listings.find_exactly(ticker)
        if instrument is None or _ticker(instrument) != ticker or not self._is_here(instrument):
            raise RefusedError(404, "Ticker not found.", "NOT_FOUND")
        results = _fields(instrument)
        del results["last_updated_utc"]
        if instrument.is_us_equity:
            root, _, suffix = ticker.partition("p")
            results |= {"list_date": _LISTED, "round_lot": round_lot(instrument.start_price), "ticker_root": root}
            results |= {"ticker_suffix": f"p{suffix}"} if suffix else {}
        body = {"request_id": secrets.token_hex(16), "results": results, "status": "OK"}
        return Answer(body=_encode(body), subject=question.path, results=1)

    def _is_here(self, instrument: Instrument) -> bool:
        return instrument.is_us_equity or instrument.kind in _PREFIXES

    def _page(self, question: Question) -> Answer:
        asked = {name: text for name, text in question.query.items() if name not in ("apiKey", "cursor")}
        if cursor := question.query.get("cursor"):
            asked = unpacked(cursor)
        limit, descending = limit_of(asked, _USUAL, _MOST), asked.get("order", "asc") == "desc"
        if asked.get("ticker"):
            self._listings.find_exactly(asked["ticker"])  # which makes it up, if any symbol is accepted
        rows = [_fields(instrument) for _, instrument in sorted(self._known().items(), reverse=descending)]
        for name, holds in _RANGES.items():
            rows = [row for row in rows if not asked.get(name) or holds(row["ticker"], asked[name])]
        for name, field in _FILTERS.items():
            rows = [row for row in rows if not asked.get(name) or row.get(field) == asked[name]]
        if asked.get("active", "true") != "true":
            rows = []
        if search := asked.get("search", "").lower():
            rows = [row for row in rows if search in row["ticker"].lower() or search in row["name"].lower()]
        if after := asked.get("page_marker"):
            rows = [row for row in rows if (row["ticker"] < after if descending else row["ticker"] > after)]
        page = rows[:limit]
        body: dict[str, Any] = {
            "results": page,
            "status": "OK",
            "request_id": secrets.token_hex(16),
            "count": len(page),
        }
        if len(page) < len(rows):
            kept = packed({**asked, "page_marker": page[-1]["ticker"]})
            body["next_url"] = f"{question.base_url}{_LIST}?{urlencode({'cursor': kept})}"
        return Answer(body=_encode(body), subject=_LIST, asked=asked, results=len(page))


def _ticker(instrument: Instrument) -> str:
    prefix = _PREFIXES.get(instrument.kind, "")
    return prefix + (instrument.symbol.replace("/", "") if prefix else instrument.symbol)


def _fields(instrument: Instrument) -> dict[str, Any]:
    """What the list says of a ticker."""
    kind, market = instrument.kind, _MARKETS.get(instrument.kind, "stocks")
    fields: dict[str, Any] = {
        "ticker": _ticker(instrument),
        "name": instrument.title,
        "market": market,
        "locale": "global" if market in ("crypto", "fx") else "us",
    }
    if market == "stocks":
        mic = instrument.mic_code or ""
        fields |= {"primary_exchange": _OPERATING.get(mic, mic), "type": _TYPES[kind]}
    fields["active"] = True
    if market in ("crypto", "fx"):
        base, _, quote = instrument.symbol.partition("/")
        fields |= {
            "currency_symbol": quote,
            "currency_name": _NAMES.get(quote, instrument.currency_quote),
            "base_currency_symbol": base,
            "base_currency_name": _NAMES.get(base, instrument.currency_base),
        }
    elif market == "stocks":
        fields["currency_name"] = (instrument.currency or "").lower()
    return {**fields, "last_updated_utc": _UPDATED}


def limit_of(query: Mapping[str, str], usual: int, most: int) -> int:
    """How many results a page has. Raises RefusedError if it may not have so many."""
    text = query.get("limit", str(usual))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise RefusedError(400, f"limit must be from 1 to {most}, not {text!r}")
    return int(text)


def packed(query: Mapping[str, str]) -> str:
    """A query as a cursor: base64 without padding, as in the live service (polygon-io/issues 303)."""
    return base64.urlsafe_b64encode(urlencode(query).encode()).decode().rstrip("=")


def unpacked(cursor: str) -> dict[str, str]:
    """The query of a cursor. Raises RefusedError if it is none."""
    return dict(parse_qsl(plain(cursor).decode(errors="replace")))


def plain(cursor: str) -> bytes:
    """What a cursor holds. Raises RefusedError if it is none."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise RefusedError(400, "cursor is not one that was given") from None
