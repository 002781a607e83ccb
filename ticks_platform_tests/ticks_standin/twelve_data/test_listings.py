"""Listings at the stand-in: one ticker in two currencies, one pair on two exchanges; each has a market of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from ticks_platform_tests.ticks_standin.twelve_data.test_rest import NOON, PRICES, SERIES, ask, candles
from ticks_standin import StandIn, StandInSettings
from ticks_standin.market.listings import Listings
from ticks_standin.twelve_data.session import TwelveDataSession

Connect = Callable[..., Any]

LISTED = {
    "RY:NYSE": {"currency": "USD", "exchange": "NYSE", "mic_code": "XNYS"},
    "RY:TSX": {"currency": "CAD", "exchange": "TSX", "mic_code": "XTSE"},
    "VOD:NASDAQ": {"currency": "USD", "exchange": "NASDAQ", "mic_code": "XNGS"},
    "VOD:LSE": {"currency": "GBp", "exchange": "LSE", "mic_code": "XLON"},
    "BTC/USD:Coinbase Pro": {"exchange": "Coinbase Pro"},
    "BTC/USD:Binance": {"exchange": "Binance"},
}
"""What events say of each, besides the bare symbol."""


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "history_events": 20_000, **settings}))


def test_events_of_two_listings_are_of_two_markets(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        asked = [name.lower() for name in LISTED]
        assert client.act("subscribe", ",".join(asked))["status"] == "ok"
        stand_in.send_exactly(300)
        heard: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTED}
        for event in client.hear_prices(300):
            heard[f"{event['symbol']}:{event['exchange']}"].append(event)
        begins = {name: Listings().find_listing(name).start_price for name in LISTED}
        for name, events in heard.items():
            assert {field: events[0].get(field) for field in LISTED[name]} == LISTED[name]
            assert {event.get("mic_code") for event in events} == {LISTED[name].get("mic_code")}
            assert all(abs(event["price"] / begins[name] - 1) < 0.02 for event in events)
            made = stand_in.made(name, payloads=True).events
            assert [event.decoded() for event in made] == events
            assert {event.listing for event in made} == {name}
        assert stand_in.account().events.keys() == {
            "price.RY",
            "price.RY:TSX",
            "price.VOD",
            "price.VOD:LSE",
            "price.BTC/USD",
            "price.BTC/USD:Binance",
        }


@pytest.mark.parametrize("name", ["RY:TSX", "VOD:LSE", "BTC/USD:Binance", "BTC/USD:Coinbase Pro", "AVZ", "CL1"])
def test_bars_of_a_listing_are_those_of_its_own_ticks(name: str) -> None:
    symbol, _, exchange = name.partition(":")
    first = Listings().find(symbol)
    with on_command(traded=[f"price.{name}", f"price.{symbol}"]) as stand_in:
        stand_in.trade_unheard(600, NOON, NOON + timedelta(minutes=5))
        made = [event.decoded() for event in stand_in.made(name, payloads=True).events]
        bars = ask(stand_in, SERIES + quote(name))[1]
        assert {bar["datetime"]: tuple(bar[field] for field in PRICES) for bar in bars["values"]} == candles(made)
        assert bars["meta"]["symbol"] == symbol
        assert bars["meta"]["exchange"] == (exchange or first.exchange)
        for field in ("exchange", "mic_code"):
            if exchange and field in LISTED[name]:
                asked = f"{symbol}&{field}={quote(LISTED[name][field])}"
                assert ask(stand_in, SERIES + asked)[1] == bars


def test_a_batch_is_by_the_names_that_were_asked() -> None:
    with on_command(traded=["price.RY", "price.RY:TSX"]) as stand_in:
        stand_in.trade_unheard(100, NOON, NOON + timedelta(minutes=2))
        both = ask(stand_in, SERIES + "RY:NYSE,RY:TSX")[1]
        assert {name: answer["meta"]["currency"] for name, answer in both.items()} == {
            "RY:NYSE": "USD",
            "RY:TSX": "CAD",
        }
        assert ask(stand_in, SERIES + "RY")[1] == both["RY:NYSE"]
        assert ask(stand_in, SERIES + "RY:LSE")[1]["message"].startswith("**symbol** not found: RY:LSE.")


def test_silence_is_of_one_listing(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "RY:NYSE,RY:TSX")
        stand_in.wait_until_subscribed("RY:NYSE", "RY:TSX", "RY")
        stand_in.silence("RY:NYSE")
        stand_in.send_exactly(20)
        sent = {event["exchange"] for event in client.hear_prices(len(stand_in.made("RY:TSX").events))}
        assert sent == {"TSX"}
        assert {each.listing for each in stand_in.made().undelivered()} == {"RY:NYSE"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ("TSX", "XTSE")),
        ({"twelve_data_omits": ["mic_code"]}, ("TSX", None)),
        ({"twelve_data_omits": ["exchange"]}, (None, "XTSE")),
        ({"twelve_data_omits": ["exchange", "mic_code"]}, (None, None)),
        ({"twelve_data_wrong_mic_code": True}, ("TSX", "XNYS")),
    ],
)
def test_what_events_tell_of_the_market_varies(settings: Any, told: Any, connect: Connect) -> None:
    with on_command(**settings) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "ry:tsx")
        stand_in.send_exactly(1)
        (event,) = client.hear_prices(1)
        assert (event.get("exchange"), event.get("mic_code")) == told
        assert (event["symbol"], event["currency"]) == ("RY", "CAD")


@pytest.mark.parametrize(
    ("settings", "item"),
    [
        ({"twelve_data_status_omits": ["mic_code"]}, {"symbol": "RY", "exchange": "TSX"}),
        ({"twelve_data_status_omits": ["exchange", "mic_code"]}, {"symbol": "RY"}),
        ({"twelve_data_wrong_mic_code": True}, {"symbol": "RY", "exchange": "TSX", "mic_code": "XNYS"}),
    ],
)
def test_what_statuses_tell_of_the_market_varies(settings: Any, item: Any) -> None:
    session = TwelveDataSession(StandInSettings(**settings), Listings())
    (frame,) = session.receive('{"action":"subscribe","params":{"symbols":"ry:tsx"}}', 0.0).frames
    assert json.loads(frame)["success"] == [{**item, "country": "Canada", "type": "Common Stock"}]


def test_letters_are_upper_case_whatever_was_asked(connect: Connect) -> None:
    with on_command(accept_any_symbol=True) as stand_in:
        client = connect(stand_in.url())
        status = client.act("subscribe", "aapl,eur/usd,madeup")
        assert [item["symbol"] for item in status["success"]] == ["AAPL", "EUR/USD", "MADEUP"]
        stand_in.send_exactly(30)
        assert {event["symbol"] for event in client.hear_prices(30)} == {"AAPL", "EUR/USD", "MADEUP"}


def test_an_unknown_exchange_fails_alone(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        status = client.act("subscribe", "RY:NYSE,RY:LSE,RY:XTSE,BTC/USD:Kraken")
        assert status["status"] == "warning"
        assert [item["exchange"] for item in status["success"]] == ["NYSE"]
        assert [item["symbol"] for item in status["fails"]] == ["RY", "RY", "BTC/USD"]


def test_a_future_is_above_zero_below_and_at_it() -> None:
    with on_command(traded=["price.CL1"]) as stand_in:
        stand_in.trade_unheard(2_000, NOON, NOON + timedelta(minutes=5))
        prices = [event.decoded()["price"] for event in stand_in.made("CL1", payloads=True).events]
        assert min(prices) < -1 < 1 < max(prices)
        assert 0.0 in prices
        assert "-0.0" not in {str(price) for price in prices}
        bars = ask(stand_in, SERIES + "CL1")[1]
        assert bars["meta"]["type"] == "Commodity"
        assert min(float(bar["low"]) for bar in bars["values"]) == min(prices)


def test_a_penny_stock_has_few_prices() -> None:
    with on_command(traded=["price.AVZ"]) as stand_in:
        stand_in.trade_unheard(2_000, NOON, NOON + timedelta(minutes=5))
        prices = [event.decoded()["price"] for event in stand_in.made("AVZ", payloads=True).events]
        assert set(prices) <= {round(n / 1_000, 3) for n in range(1, 12)}
        assert any(abs(after / before - 1) >= 0.25 for before, after in pairwise(prices))
