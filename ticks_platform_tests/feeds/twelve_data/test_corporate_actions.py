"""Twelve Data's splits and dividends, in the shapes of its documentation."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ticks_platform.feeds.corporate_actions import Action, ActionKind, ActionPage
from ticks_platform.feeds.history import HistoryAnswer, NotEntitledError, Span, TransientError, UnknownSymbolError
from ticks_platform.feeds.polygon.history import PolygonHistory
from ticks_platform.feeds.twelve_data.corporate_actions import TwelveDataCorporateActions
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory

API = TwelveDataCorporateActions(url="wss://ws.twelvedata.com/v1/quotes/price", api_key="key")
META = {"symbol": "AAPL", "name": "Apple Inc", "currency": "USD", "exchange": "NASDAQ", "mic_code": "XNAS"}
SPLIT = {"date": "2020-08-31", "description": "4-for-1 split", "ratio": 0.25, "from_factor": 4, "to_factor": 1}


def page(kind: ActionKind, content: dict[str, Any], status: int = 200) -> ActionPage:
    return API.page(kind, ["AAPL"], "/first", HistoryAnswer(status, {}, json.dumps(content).encode()))


def test_a_request_names_the_listing() -> None:
    request = API.request(API.first("dividend", ["RY:TSX"]))
    parts = urlsplit(request.url)
    assert parts.netloc + parts.path == "api.twelvedata.com/dividends"
    assert parse_qs(parts.query) == {"symbol": ["RY"], "exchange": ["TSX"], "range": ["full"], "adjust": ["false"]}
    assert request.headers == {"X-TD-APIKEY": "key"}
    assert API.first("split", ["AAPL"]) == "/splits?symbol=AAPL&range=full"


def test_the_factors_are_new_shares_and_old_ones() -> None:
    reverse = {"date": "2026-03-02", "ratio": 20, "from_factor": 1, "to_factor": 20}
    assert page("split", {"meta": META, "splits": [SPLIT, reverse]}).actions == [
        Action("AAPL", "split", date(2020, 8, 31), 1.0, 4.0, None, None, None, "2020-08-31"),
        Action("AAPL", "split", date(2026, 3, 2), 20.0, 1.0, None, None, None, "2026-03-02"),
    ]


def test_a_ratio_that_contradicts_the_factors_is_told() -> None:
    found = page("split", {"meta": META, "splits": [{**SPLIT, "ratio": 4}, {**SPLIT, "from_factor": None}]})
    assert found.actions == []
    assert [what.partition(" on ")[2] for what in found.unusable] == [
        "2020-08-31: factors 4.0 and 1.0 contradict the ratio 4.0",
        "2020-08-31 without factors: from None to 1.0",
    ]


def test_dividends_have_the_currency_of_the_listing_and_an_id_of_their_date() -> None:
    results = [{"ex_date": "2021-08-06", "amount": 0.22}, {"ex_date": "2021-08-06", "amount": 1}]
    assert [action[2:] for action in page("dividend", {"meta": META, "dividends": results}).actions] == [
        (date(2021, 8, 6), None, None, 0.22, "USD", None, "2021-08-06"),
        (date(2021, 8, 6), None, None, 1.0, "USD", None, "2021-08-06 2"),
    ]
    (pence,) = page("dividend", {"meta": {**META, "currency": "GBp"}, "dividends": results[:1]}).actions
    assert pence.currency == "GBX"


def test_bars_are_asked_for_as_they_were_traded() -> None:
    """By default the provider divides what is before a split: all of it would differ from our candles."""
    span = Span("AAPL", "AAPL", 0, 60_000_000_000)
    history = TwelveDataHistory(url="wss://ws.twelvedata.com/v1/quotes/price", api_key="key")
    assert "adjust=none" in history.request(span, history.first(span)).url
    bars = PolygonHistory(
        url="wss://socket.massive.com/stocks",
        api_key="key",
        market="stocks",
        domain="massive.com",
        cluster="socket",
        kind="bars",
    )
    assert "adjusted=false" in bars.first(span)


def test_errors() -> None:
    assert page(
        "split", {"code": 400, "message": "No data is available on the specified dates.", "status": "error"}
    ) == (
        [],
        [],
        None,
    )
    with pytest.raises(NotEntitledError):
        page("split", {"code": 403, "message": "/splits is available exclusively with grow plans.", "status": "error"})
    with pytest.raises(UnknownSymbolError):
        page("split", {"code": 404, "message": "**symbol** not found", "status": "error"}, 404)
    with pytest.raises(TransientError):
        page("split", {"meta": META})
