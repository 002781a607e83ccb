"""Polygon.io's (Massive's) REST API for splits and dividends: `/stocks/v1/splits` and `/stocks/v1/dividends`.

Sources, with their grade: A the provider's text or a captured answer, C one reader or our own computation.

- Fields, filters, paging, the meaning of the factor, and that all trading of the execution date is adjusted already,
  its pre-market included: the provider's pages splits.md and dividends.md of 2026. A.
- `historical_adjustment_factor` is cumulative: for a price on date D, find the first split whose execution_date is
  after D, and multiply. A. The documentation's samples agree: AAPL's split 2:1 of 2005-02-28 has 0.017857, which is
  1/2 x 1/7 x 1/4 in six decimals; AMD's 3:2 of 1978 has 0.037037. Factors of splits do not contain dividends, and the
  other way round: 0.997899 of AAPL's dividend of 2025-08-11 is (1 - 0.26/229.35) x (1 - 0.26/268.47). C.
- An announced dividend has no factor yet (seen in 2026-09, a week ahead), some executed ones have none, and one symbol
  had 0. C. All are «no factor».
- The id may change when a record is corrected: a record has gone then, and there is a new one. C.
- `ticker.any_of` takes a comma separated list; `limit` is at most 5,000. The free plan has the last two years. Stock
  dividends are splits (`adjustment_type`). A.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from ticks_platform.feeds.corporate_actions import Action, ActionKind, ActionPage, CorporateActions, day, positive
from ticks_platform.feeds.decoding import UNDECODABLE, Finite
from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, TransientError, base_url
from ticks_platform.feeds.polygon.history import Body, cursor_of, decode_body, error_of

_LIMIT = 5_000
"""Results per page; the provider's maximum."""

_PATHS = {"split": "/stocks/v1/splits", "dividend": "/stocks/v1/dividends"}
_DATES = {"split": "execution_date", "dividend": "ex_dividend_date"}


class _Result(msgspec.Struct, gc=False):
    id: str | int | None = None
    ticker: str | None = None
    execution_date: str | None = None
    ex_dividend_date: str | None = None
    split_from: Finite | None = None
    split_to: Finite | None = None
    cash_amount: Finite | None = None
    currency: str | None = None
    historical_adjustment_factor: Finite | None = None


_decode_result = msgspec.json.Decoder(_Result, strict=False).decode


class PolygonCorporateActions(CorporateActions):
    """Stocks only. Symbols are asked for by the hundred: 500 symbols take some 15 requests."""

    requests_per_minute = 5  # the free plan
    symbols_per_request = 100
    has_factors = True
    reach_days = 730.0  # the free plan has two years

    def __init__(self, *, url: str, api_key: str | None, domain: str) -> None:
        self._base = base_url(url, f"https://api.{domain}", "massive.com", "polygon.io")
        self._api_key = api_key or ""

    def serves(self, symbol: str) -> bool:
        return symbol != "*"

    def first(self, kind: ActionKind, symbols: Sequence[str]) -> str:
        query = {"ticker.any_of": ",".join(symbols), "sort": f"{_DATES[kind]}.asc,ticker.asc", "limit": _LIMIT}
        return f"{_PATHS[kind]}?{urlencode(query)}"

    def request(self, cursor: str) -> HistoryRequest:
        return HistoryRequest(self._base + cursor, {"Authorization": f"Bearer {self._api_key}"})

    def page(self, kind: ActionKind, symbols: Sequence[str], cursor: str, answer: HistoryAnswer) -> ActionPage:
        try:
            body = decode_body(answer.body)
        except UNDECODABLE as error:
            if answer.status == 200:
                raise TransientError(f"Polygon sent an invalid response: {error}") from None
            body = Body()
        what = f"{kind}s of {', '.join(symbols[:3])}{' and others' if len(symbols) > 3 else ''}"
        if answer.status != 200:
            raise error_of(answer, body, what)
        upcoming = cursor_of(body.next_url) if body.next_url else None
        if upcoming == cursor:
            raise TransientError("Polygon named the current page as the next one")
        page = ActionPage([], [], upcoming)
        asked = frozenset(symbols)
        for raw in body.results or []:
            found = _action(kind, bytes(raw))
            if isinstance(found, str):
                page.unusable.append(found)
            elif found.symbol in asked:
                page.actions.append(found)
        return page


def _action(kind: ActionKind, raw: bytes) -> Action | str:
    """A result as an action, or what is wrong with it."""
    try:
        item = _decode_result(raw)
    except UNDECODABLE as error:
        return f"malformed {kind}: {error}"
    on = day(item.execution_date if kind == "split" else item.ex_dividend_date)
    if not item.ticker or on is None:
        return f"{kind} {item.id} without a ticker or a date"
    where = f"{kind} of {item.ticker} on {on}"
    provider_id = f"{item.ticker} {on}" if item.id is None else str(item.id)
    factor = positive(item.historical_adjustment_factor)
    if kind == "split":
        old, new = positive(item.split_from), positive(item.split_to)
        if old is None or new is None:
            return f"{where} without a ratio: from {item.split_from} to {item.split_to}"
        return Action(item.ticker, kind, on, old, new, None, None, factor, provider_id)
    if item.cash_amount is None or item.cash_amount < 0:
        return f"{where} without an amount: {item.cash_amount}"
    return Action(item.ticker, kind, on, None, None, item.cash_amount, item.currency, factor, provider_id)
