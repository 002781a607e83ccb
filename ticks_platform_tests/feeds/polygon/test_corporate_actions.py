"""Polygon's splits and dividends, in the shapes of its documentation."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ticks_platform.feeds.corporate_actions import Action, ActionKind, ActionPage
from ticks_platform.feeds.history import (
    HistoryAnswer,
    KeyRefusedError,
    NotEntitledError,
    RateLimitedError,
    TransientError,
)
from ticks_platform.feeds.polygon.corporate_actions import PolygonCorporateActions

API = PolygonCorporateActions(url="wss://socket.massive.com/stocks", api_key="key", domain="massive.com")

SPLIT = {
    "adjustment_type": "forward_split",
    "execution_date": "2005-02-28",
    "historical_adjustment_factor": 0.017857,
    "id": "E90a",
    "split_from": 1,
    "split_to": 2,
    "ticker": "AAPL",
}
DIVIDEND = {
    "cash_amount": 0.26,
    "currency": "USD",
    "declaration_date": "2025-07-31",
    "distribution_type": "recurring",
    "ex_dividend_date": "2025-08-11",
    "frequency": 4,
    "historical_adjustment_factor": 0.997899,
    "id": "Ed2c",
    "split_adjusted_cash_amount": 0.26,
    "ticker": "AAPL",
}


def page(kind: ActionKind, *results: dict[str, Any], answered: int = 200, **body: Any) -> ActionPage:
    content = json.dumps({"request_id": "1", "results": results, "status": "OK", **body}).encode()
    return API.page(kind, ["AAPL", "BRK.B"], "/first?limit=1", HistoryAnswer(answered, {}, content))


def test_a_request_names_symbols_and_no_key_in_its_url() -> None:
    request = API.request(API.first("split", ["AAPL", "BACpB"]))
    parts = urlsplit(request.url)
    assert parts.netloc + parts.path == "api.massive.com/stocks/v1/splits"
    assert parse_qs(parts.query) == {
        "ticker.any_of": ["AAPL,BACpB"],
        "sort": ["execution_date.asc,ticker.asc"],
        "limit": ["5000"],
    }
    assert request.headers == {"Authorization": "Bearer key"}
    assert "sort=ex_dividend_date.asc" in API.first("dividend", ["AAPL"])


def test_results_are_actions() -> None:
    assert page("split", SPLIT).actions == [
        Action("AAPL", "split", date(2005, 2, 28), 1.0, 2.0, None, None, 0.017857, "E90a")
    ]
    assert page("dividend", DIVIDEND).actions == [
        Action("AAPL", "dividend", date(2025, 8, 11), None, None, 0.26, "USD", 0.997899, "Ed2c")
    ]


@pytest.mark.parametrize("factor", [None, 0])
def test_a_factor_that_is_not_there(factor: float | None) -> None:
    (action,) = page("dividend", {**DIVIDEND, "historical_adjustment_factor": factor}).actions
    assert action.historical_adjustment_factor is None


def test_only_what_was_asked_for() -> None:
    assert page("split", {**SPLIT, "ticker": "AAPLW"}).actions == []


@pytest.mark.parametrize(
    ("kind", "result", "said"),
    [
        ("split", {**SPLIT, "split_from": 0}, "without a ratio: from 0.0 to 2.0"),
        ("split", {**SPLIT, "execution_date": None}, "without a ticker or a date"),
        ("split", {**SPLIT, "execution_date": "soon"}, "without a ticker or a date"),
        ("dividend", {**DIVIDEND, "cash_amount": None}, "without an amount"),
        ("dividend", {**DIVIDEND, "cash_amount": "NaN"}, "malformed dividend"),
    ],
)
def test_an_unusable_result_is_told_and_spoils_no_other(kind: ActionKind, result: dict[str, Any], said: str) -> None:
    found = page(kind, result, SPLIT if kind == "split" else DIVIDEND)
    assert len(found.actions) == 1
    assert len(found.unusable) == 1
    assert said in found.unusable[0]


def test_pages_follow_each_other_without_the_key() -> None:
    found = page("split", SPLIT, next_url="https://api.massive.com/stocks/v1/splits?cursor=abc&apiKey=secret")
    assert found.cursor == "/stocks/v1/splits?cursor=abc"
    with pytest.raises(TransientError):
        page("split", SPLIT, next_url="https://api.massive.com/first?limit=1")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"status": "ERROR", "error": "Unknown API Key"}, KeyRefusedError),
        (403, {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, NotEntitledError),
        (429, {"status": "ERROR", "error": "maximum requests per minute"}, RateLimitedError),
        (503, {}, TransientError),
    ],
)
def test_errors(status: int, body: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        page("split", answered=status, **body)
