"""Twelve Data's REST API for splits and dividends: `/splits` and `/dividends`.

Sources, with their grade: A the provider's text, B two independent readers.

- Parameters and bodies: the documentation page of 2026. One symbol a request, 20 credits each, from the Grow plan on.
  `range=full` gives everything; there are no pages. A.
- A split 4:1 has `from_factor` 4, `to_factor` 1, `ratio` 0.25: the ratio is what prices are multiplied by, and the
  factors are *not* shares before and after. A (the documentation's samples), B (a user multiplies prices by to/from). A
  reverse split was not seen; ratio and factors are checked against each other.
- A dividend has `ex_date` and `amount`, and no factor; `adjust` is true by default and divides amounts by later splits.
  A. It is asked for without.
- No result has an id: its date is one, with a number behind it if there are several.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from ticks_platform.feeds.corporate_actions import Action, ActionKind, ActionPage, CorporateActions, day, positive
from ticks_platform.feeds.decoding import UNDECODABLE, Finite
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError, base_url
from ticks_platform.feeds.symbol_settings import currency_code
from ticks_platform.feeds.twelve_data.history import API, error_of
from ticks_platform.feeds.twelve_data.names import symbol_name

_TOLERANCE = 1e-3
"""Relative difference of ratio and factors: the ratio may be rounded."""


class _Meta(msgspec.Struct, gc=False):
    currency: str | None = None


class _Split(msgspec.Struct, gc=False):
    date: str | None = None
    ratio: Finite | None = None
    from_factor: Finite | None = None
    to_factor: Finite | None = None


class _Dividend(msgspec.Struct, gc=False):
    ex_date: str | None = None
    amount: Finite | None = None


class _Body(msgspec.Struct):
    status: str | None = None
    code: int | None = None
    message: str | None = None
    meta: _Meta | None = None
    splits: list[msgspec.Raw] | None = None
    dividends: list[msgspec.Raw] | None = None


_decode_body = msgspec.json.Decoder(_Body, strict=False).decode
_decode_split = msgspec.json.Decoder(_Split, strict=False).decode
_decode_dividend = msgspec.json.Decoder(_Dividend, strict=False).decode


class TwelveDataCorporateActions(CorporateActions):
    """Stocks and funds; symbols of pairs have a slash."""

    requests_per_minute = 8  # the Basic plan's credits, which has no splits: a request does not fit
    requests_per_day = 800
    credits = 20

    def __init__(self, *, url: str, api_key: str | None) -> None:
        self._base = base_url(url, API, "twelvedata.com")
        self._api_key = api_key or ""

    def serves(self, symbol: str) -> bool:
        return "/" not in symbol

    def first(self, kind: ActionKind, symbols: Sequence[str]) -> str:
        (asked,) = symbols
        symbol, _, exchange = symbol_name(asked).partition(":")
        query = {"symbol": symbol, **({"exchange": exchange} if exchange else {}), "range": "full"}
        return f"/{kind}s?{urlencode(query if kind == 'split' else {**query, 'adjust': 'false'})}"

    def request(self, cursor: str) -> HistoryRequest:
        return HistoryRequest(self._base + cursor, {"X-TD-APIKEY": self._api_key})

    def page(self, kind: ActionKind, symbols: Sequence[str], cursor: str, answer: HistoryAnswer) -> ActionPage:
        (symbol,) = symbols
        try:
            body = _decode_body(answer.body)
        except UNDECODABLE as invalid:
            if answer.status == 200:
                raise TransientError(f"Twelve Data sent an invalid response: {invalid}") from None
            body = _Body(status="error", code=answer.status)
        page = ActionPage([], [], None)
        if answer.status != 200 or (body.status or "").lower() == "error" or body.code is not None:
            error = error_of(answer, body.code, body.message, symbol)
            if error is not None:
                raise error
            return page
        results = body.splits if kind == "split" else body.dividends
        if results is None:
            raise TransientError(f"Twelve Data sent a response without {kind}s")
        currency = body.meta.currency if body.meta else None
        seen: dict[str, int] = {}
        for raw in results:
            found = _split(symbol, raw) if kind == "split" else _dividend(symbol, raw, currency)
            if isinstance(found, str):
                page.unusable.append(found)
                continue
            number = seen[found.provider_id] = seen.get(found.provider_id, 0) + 1
            page.actions.append(found if number == 1 else found._replace(provider_id=f"{found.provider_id} {number}"))
        return page


def _split(symbol: str, raw: msgspec.Raw) -> Action | str:
    try:
        item = _decode_split(raw)
    except UNDECODABLE as error:
        return f"malformed split of {symbol}: {error}"
    on = day(item.date)
    if on is None:
        return f"split of {symbol} without a date"
    new, old, ratio = positive(item.from_factor), positive(item.to_factor), positive(item.ratio)
    if new is None or old is None:
        return f"split of {symbol} on {on} without factors: from {item.from_factor} to {item.to_factor}"
    if ratio is not None and abs(old / new - ratio) > _TOLERANCE * ratio:
        return f"split of {symbol} on {on}: factors {new} and {old} contradict the ratio {ratio}"
    return Action(symbol, "split", on, old, new, None, None, None, on.isoformat())


def _dividend(symbol: str, raw: msgspec.Raw, currency: str | None) -> Action | str:
    try:
        item = _decode_dividend(raw)
    except UNDECODABLE as error:
        return f"malformed dividend of {symbol}: {error}"
    on = day(item.ex_date)
    if on is None:
        return f"dividend of {symbol} without a date"
    if item.amount is None or item.amount < 0:
        return f"dividend of {symbol} on {on} without an amount: {item.amount}"
    unit = currency_code(currency) if currency else None
    return Action(symbol, "dividend", on, None, None, item.amount, unit, None, on.isoformat())
