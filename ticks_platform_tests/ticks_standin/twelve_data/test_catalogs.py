"""Twelve Data's catalogs at the stand-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from twelvedata import TDClient

from ticks_platform_tests.ticks_standin.twelve_data.test_rest import ask
from ticks_standin import StandIn, StandInSettings


def catalog(stand_in: StandIn, path: str) -> list[dict[str, Any]]:
    status, body, headers = ask(stand_in, f"{path}{'' if '?' in path else '?'}")
    assert (status, body["status"], body["count"]) == (200, "ok", len(body["data"]))
    assert headers["Api-credits-used"]
    data: list[dict[str, Any]] = body["data"]
    return data


@pytest.fixture(scope="module")
def stand_in() -> Any:
    with StandIn(StandInSettings(rate=0)) as running:
        yield running


def test_stocks(stand_in: StandIn) -> None:
    listed = catalog(stand_in, "/stocks")
    assert {"RY", "VOD", "1211"} <= {each["symbol"] for each in listed}
    assert all(each["symbol"] == each["symbol"].upper() for each in listed)
    assert catalog(stand_in, "/stocks?symbol=aapl") == [
        {
            "symbol": "AAPL",
            "name": "Apple Inc.",
            "currency": "USD",
            "exchange": "NASDAQ",
            "mic_code": "XNGS",
            "country": "United States",
            "type": "Common Stock",
            "figi_code": "",
            "cfi_code": "ESVUFR",
            "isin": "request_access_via_add_ons",
            "cusip": "request_access_via_add_ons",
        }
    ]
    both = catalog(stand_in, "/stocks?symbol=VOD")
    assert [(each["exchange"], each["mic_code"], each["currency"]) for each in both] == [
        ("NASDAQ", "XNGS", "USD"),
        ("LSE", "XLON", "GBp"),
    ]
    for narrowed in ("exchange=LSE", "exchange=XLON", "mic_code=XLON", "country=United%20Kingdom"):
        assert [each["exchange"] for each in catalog(stand_in, f"/stocks?symbol=VOD&{narrowed}")] == ["LSE"]
    assert catalog(stand_in, "/stocks?symbol=SHOP")[0]["mic_code"] == "XTSE"
    assert catalog(stand_in, "/stocks?symbol=NOPE") == catalog(stand_in, "/stocks?symbol=SPY") == []


@pytest.mark.parametrize(
    ("path", "symbol", "expected"),
    [
        ("/etf", "SPY", {"name": "SPDR S&P 500 ETF Trust", "mic_code": "ARCX"}),
        ("/etfs", "SPY", {"exchange": "NYSE", "currency": "USD"}),
        (
            "/forex_pairs",
            "EUR/USD",
            {"currency_group": "Major", "currency_base": "Euro", "currency_quote": "US Dollar"},
        ),
        (
            "/cryptocurrencies",
            "BTC/USD",
            {"available_exchanges": ["Binance", "Coinbase Pro"], "currency_base": "Bitcoin"},
        ),
        ("/indices", "SPX", {"name": "S&P 500", "country": "United States", "exchange": "CBOE", "mic_code": "XCBO"}),
        ("/commodities", "XAU/USD", {"category": "Precious Metal", "name": "Gold Spot"}),
        ("/commodities", "CL1", {"category": "Energy", "name": "Crude Oil WTI Futures"}),
    ],
)
def test_others(path: str, symbol: str, expected: dict[str, Any], stand_in: StandIn) -> None:
    (item,) = catalog(stand_in, f"{path}?symbol={quote(symbol.lower())}")
    assert item["symbol"] == symbol
    assert {field: item[field] for field in expected} == expected
    assert item in catalog(stand_in, path)


def test_filters_of_pairs(stand_in: StandIn) -> None:
    for base in ("EUR", "euro"):
        assert [each["symbol"] for each in catalog(stand_in, f"/forex_pairs?currency_base={base}")] == ["EUR/USD"]
    assert [each["symbol"] for each in catalog(stand_in, "/cryptocurrencies?exchange=binance")] == ["BTC/USD"]
    assert catalog(stand_in, "/cryptocurrencies?currency_quote=EUR") == []


def test_a_symbol_is_made_up_on_request() -> None:
    with StandIn(StandInSettings(rate=0, accept_any_symbol=True)) as stand_in:
        assert [each["symbol"] for each in catalog(stand_in, "/stocks?symbol=madeup")] == ["MADEUP"]


def test_the_official_client_reads_it(stand_in: StandIn) -> None:
    client = TDClient("demo", base_url=stand_in.http_url)
    listed = client.get_stocks_list(symbol="RY").as_json()
    assert [each["currency"] for each in listed] == ["USD", "CAD"]
    assert client.get_indices_list(symbol="SPX").as_json()[0]["name"] == "S&P 500"
