"""Polygon's reference data of tickers at the stand-in."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from massive import RESTClient

from ticks_standin import StandIn, StandInSettings

LIST = "/v3/reference/tickers"


def ask(stand_in: StandIn, path: str) -> tuple[int, Any]:
    given = f"{path}{'&' if '?' in path else '?'}apiKey=demo"
    try:
        with urllib.request.urlopen(stand_in.http_url + given, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def stand_in() -> Any:
    with StandIn(StandInSettings(rate=0)) as running:
        yield running


@pytest.mark.parametrize(
    ("ticker", "expected"),
    [
        (
            "AAPL",
            {
                "name": "Apple Inc.",
                "market": "stocks",
                "locale": "us",
                "primary_exchange": "XNAS",
                "type": "CS",
                "currency_name": "usd",
                "round_lot": 100,
                "ticker_root": "AAPL",
            },
        ),
        ("META", {"round_lot": 40, "primary_exchange": "XNAS"}),
        ("RY", {"primary_exchange": "XNYS", "currency_name": "usd"}),
        ("SPY", {"type": "ETF", "primary_exchange": "ARCX"}),
        ("BACpB", {"type": "PFD", "ticker_root": "BAC", "ticker_suffix": "pB"}),
        ("X:BTCUSD", {"market": "crypto", "locale": "global", "currency_symbol": "USD", "base_currency_symbol": "BTC"}),
        ("C:EURUSD", {"market": "fx", "currency_name": "United States Dollar", "base_currency_name": "Euro"}),
        ("I:SPX", {"market": "indices", "name": "S&P 500"}),
    ],
)
def test_details(ticker: str, expected: dict[str, Any], stand_in: StandIn) -> None:
    status, body = ask(stand_in, f"{LIST}/{ticker}")
    assert (status, body["status"]) == (200, "OK")
    assert body["results"]["ticker"] == ticker
    assert body["results"]["active"]
    assert {field: body["results"].get(field) for field in expected} == expected
    (row,) = ask(stand_in, f"{LIST}?ticker={ticker}")[1]["results"]
    details = {"round_lot", "ticker_root", "ticker_suffix", "list_date"}
    assert {**row, "last_updated_utc": 0} == {
        **{field: value for field, value in body["results"].items() if field not in details},
        "last_updated_utc": 0,
    }


@pytest.mark.parametrize("ticker", ["NOPE", "aapl", "BACPB", "SHOP", "X:NOPEUSD", "C:eurusd", "CL1"])
def test_an_unknown_ticker(ticker: str, stand_in: StandIn) -> None:
    status, body = ask(stand_in, f"{LIST}/{ticker}")
    assert (status, body["status"], body["message"]) == (404, "NOT_FOUND", "Ticker not found.")
    assert ask(stand_in, f"{LIST}?ticker={ticker}")[1]["results"] == []


def test_pages_and_filters(stand_in: StandIn) -> None:
    everything = ask(stand_in, f"{LIST}?limit=1000")[1]
    tickers = [row["ticker"] for row in everything["results"]]
    assert tickers == sorted(tickers)
    assert everything["count"] == len(tickers)
    assert "next_url" not in everything
    pages, path = [], f"{LIST}?limit=7&order=desc"
    while path:
        page = ask(stand_in, path)[1]
        pages += [row["ticker"] for row in page["results"]]
        path = page.get("next_url", "").removeprefix(stand_in.http_url)
    assert pages == tickers[::-1]
    pairs = ask(stand_in, f"{LIST}?market=fx&ticker.gte=C:G")[1]["results"]
    assert [row["ticker"] for row in pairs] == ["C:GBPUSD", "C:USDJPY", "C:XAGUSD", "C:XAUUSD"]
    assert {row["type"] for row in ask(stand_in, f"{LIST}?exchange=XNYS")[1]["results"]} == {"CS", "PFD"}
    assert ask(stand_in, f"{LIST}?active=false")[1]["results"] == []
    assert ask(stand_in, f"{LIST}?limit=1001")[0] == 400


def test_a_symbol_is_made_up_on_request_and_a_plan_may_lack_the_data() -> None:
    with StandIn(StandInSettings(rate=0, accept_any_symbol=True)) as stand_in:
        assert ask(stand_in, f"{LIST}/MADEUPpA")[1]["results"]["ticker"] == "MADEUPpA"
        assert len(ask(stand_in, f"{LIST}?ticker=MADEUP")[1]["results"]) == 1
        assert [request.subject for request in stand_in.requests(LIST)] == [f"{LIST}/MADEUPpA", LIST]
    with StandIn(StandInSettings(rate=0, polygon_rest_unentitled=["reference"])) as stand_in:
        assert ask(stand_in, f"{LIST}/AAPL")[0] == 403


def test_the_official_client_reads_it(stand_in: StandIn) -> None:
    client = RESTClient("demo", base=stand_in.http_url)
    assert client.get_ticker_details("AAPL").primary_exchange == "XNAS"
    assert {each.market for each in client.list_tickers(limit=10)} == {"stocks", "crypto", "fx", "indices"}
