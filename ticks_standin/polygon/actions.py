"""Polygon's splits and dividends: ``/stocks/v1/splits`` and ``/stocks/v1/dividends``.

Sources of the facts: the official docs of both (parameters, samples of AAPL). Factors have six decimals, as in those
samples; an announced dividend has none, as a user reports.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticks_standin.market.actions import Actions, Dividend, Split
from ticks_standin.polygon.tickers import limit_of, packed, unpacked
from ticks_standin.provider.rest import Answer, Question, RefusedError

_SPLITS, _DIVIDENDS = "/stocks/v1/splits", "/stocks/v1/dividends"
_DATES = {_SPLITS: "execution_date", _DIVIDENDS: "ex_dividend_date"}
_SORTS = {_SPLITS: "execution_date.desc", _DIVIDENDS: "ticker.asc"}
_USUAL, _MOST = 100, 5_000
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "": lambda value, bound: value == bound,
    ".any_of": lambda value, bound: value in bound.split(","),
    ".gte": lambda value, bound: value >= bound,
    ".gt": lambda value, bound: value > bound,
    ".lte": lambda value, bound: value <= bound,
    ".lt": lambda value, bound: value < bound,
}

_encode = msgspec.json.Encoder().encode


class SplitsAndDividends:
    """What the provider says of them."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    def serves(self, path: str) -> bool:
        """These two."""
        return path in _DATES

    def answer(self, question: Question) -> Answer:
        """A page. Raises RefusedError for a wrong parameter."""
        path, query = question.path, dict(question.query)
        begin = 0
        if cursor := query.get("cursor"):
            query |= unpacked(cursor)
            begin = int(query.pop("begin", "0"))
        on = _DATES[path]
        results = self._splits(question.now_ms) if path == _SPLITS else self._dividends(question.now_ms)
        for name, bound in query.items():
            field, dot, comparison = name.partition(".")
            if field in ("ticker", on) and dot + comparison in _COMPARISONS:
                if field == on:
                    _check_date(name, bound)
                results = [each for each in results if _COMPARISONS[dot + comparison](each[field], bound)]
        results = _sorted(results, query.get("sort", _SORTS[path]))
        limit = limit_of(query, _USUAL, _MOST)
        page = results[begin : begin + limit]
        body: dict[str, Any] = {"request_id": secrets.token_hex(16), "results": page, "status": "OK"}
        if begin + limit < len(results):
            kept = {name: text for name, text in query.items() if name not in ("apiKey", "cursor")}
            cursor = packed({**kept, "begin": str(begin + limit)})
            body["next_url"] = f"{question.base_url}{path}?{urlencode({'cursor': cursor})}"
        return Answer(body=_encode(body), subject=path, results=len(page))

    def _splits(self, now_ms: int) -> list[dict[str, Any]]:
        return [
            {
                "adjustment_type": "forward_split" if split.new > split.old else "reverse_split",
                "execution_date": split.on.isoformat(),
                **self._factor(split, now_ms),
                "id": _id(split),
                "split_from": split.old,
                "split_to": split.new,
                "ticker": split.symbol,
            }
            for split in self._actions.splits()
        ]

    def _dividends(self, now_ms: int) -> list[dict[str, Any]]:
        return [
            {
                "cash_amount": dividend.cash,
                "currency": "USD",
                "distribution_type": "recurring",
                "ex_dividend_date": dividend.on.isoformat(),
                "frequency": 4,
                **self._factor(dividend, now_ms),
                "id": _id(dividend),
                "ticker": dividend.symbol,
            }
            for dividend in self._actions.dividends()
        ]

    def _factor(self, action: Split | Dividend, now_ms: int) -> dict[str, float]:
        factor = self._actions.cumulative_factor(action, now_ms)
        return {} if factor is None else {"historical_adjustment_factor": round(factor, 6)}


def _id(action: Split | Dividend) -> str:
    return "E" + hashlib.sha256(_encode([type(action).__name__, action.symbol, action.on])).hexdigest()


def _check_date(name: str, text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise RefusedError(400, f"{name} must be a date as YYYY-MM-DD, not {text!r}") from None


def _sorted(results: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    for part in reversed(sort.split(",")):
        field, _, order = part.partition(".")
        if results and field not in results[0]:
            raise RefusedError(400, f"sort must name columns, not {field!r}")
        results = sorted(results, key=lambda each: str(each[field]), reverse=order == "desc")
    return results


def adjusted(query: Mapping[str, str]) -> bool:
    """Whether bars are asked for as if all splits had been executed already."""
    return query.get("adjusted", "true") == "true"
