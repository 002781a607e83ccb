"""Twelve Data's protocol, byte for byte, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ticks_standin import StandInSettings
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Tick
from ticks_standin.provider.keys import Keys
from ticks_standin.twelve_data.events import PriceSources
from ticks_standin.twelve_data.session import TwelveDataSession

AAPL = {
    "symbol": "AAPL",
    "exchange": "NASDAQ",
    "mic_code": "XNGS",
    "country": "United States",
    "type": "Common Stock",
}


def session(**settings: Any) -> TwelveDataSession:
    return TwelveDataSession(StandInSettings(**settings), Listings())


def answer(conversation: TwelveDataSession, message: str | bytes, now: float) -> bytes:
    (frame,) = conversation.receive(message, now).frames
    return frame


def act(conversation: TwelveDataSession, action: str, symbols: Any = None) -> dict[str, Any]:
    message = {"action": action} if symbols is None else {"action": action, "params": {"symbols": symbols}}
    return json.loads(answer(conversation, json.dumps(message), 0.0))


def subscribed(conversation: TwelveDataSession) -> list[tuple[str, str | None]]:
    return [(instrument.symbol, instrument.exchange) for instrument in conversation.subscribed]


@pytest.mark.parametrize(
    ("symbol", "exchange", "numbers", "expected"),
    [
        pytest.param(
            "AAPL",
            None,
            (342.01, None, None, 27631112),
            '{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS",'
            '"type":"Common Stock","timestamp":1592249566,"price":342.01,"day_volume":27631112}',
            id="stock",
        ),
        pytest.param(
            "ry",
            "tsx",
            (168.9, None, None, 11),
            '{"event":"price","symbol":"RY","currency":"CAD","exchange":"TSX","mic_code":"XTSE",'
            '"type":"Common Stock","timestamp":1592249566,"price":168.9,"day_volume":11}',
            id="another-listing",
        ),
        pytest.param(
            "VOD",
            "LSE",
            (72.34, None, None, 900),
            '{"event":"price","symbol":"VOD","currency":"GBp","exchange":"LSE","mic_code":"XLON",'
            '"type":"Common Stock","timestamp":1592249566,"price":72.34,"day_volume":900}',
            id="stock-in-pence",
        ),
        pytest.param(
            "SHOP",
            None,
            (90.39, None, None, None),
            '{"event":"price","symbol":"SHOP","currency":"CAD","exchange":"TSX",'
            '"type":"Common Stock","timestamp":1592249566,"price":90.39}',
            id="stock-without-mic-code-and-volume",
        ),
        pytest.param(
            "XAU/USD",
            None,
            (1925.18, 1925.05, 1925.32, None),
            '{"event":"price","symbol":"XAU/USD","currency":"USD","currency_base":"Gold Spot",'
            '"currency_quote":"US Dollar","type":"Physical Currency","timestamp":1592249566,"price":1925.18,'
            '"bid":1925.05,"ask":1925.32}',
            id="metal",
        ),
        pytest.param(
            "BTC/USD",
            None,
            (29299.0, 29298.5, 29299.5, 28306),
            '{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar",'
            '"exchange":"Coinbase Pro","type":"Digital Currency","timestamp":1592249566,"price":29299.0,'
            '"bid":29298.5,"ask":29299.5,"day_volume":28306}',
            id="crypto",
        ),
        pytest.param(
            "BTC/USD",
            "Binance",
            (10964.8, None, None, 38279),
            '{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar",'
            '"exchange":"Binance","type":"Digital Currency","timestamp":1592249566,"price":10964.8,"day_volume":38279}',
            id="crypto-without-quotes",
        ),
        pytest.param(
            "NSEI",
            None,
            (17739.7, None, None, None),
            '{"event":"price","symbol":"NSEI","currency":"INR","exchange":"NSE","type":"Index",'
            '"timestamp":1592249566,"price":17739.7}',
            id="index",
        ),
    ],
)
def test_price_event(symbol: str, exchange: str | None, numbers: Any, expected: str) -> None:
    listings = Listings()
    tick = Tick(listings.find(symbol, exchange=exchange), 1592249566, *numbers)
    (event,) = PriceSources(StandInSettings(), listings).of(tick.instrument).events(tick, 0)
    assert event.payload.decode() == expected


def test_subscribe_plain_live() -> None:
    conversation = session()
    assert answer(conversation, '{"action":"subscribe","params":{"symbols":"AAPL"}}', 0.0).decode() == (
        '{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL","exchange":"NASDAQ","mic_code":"XNGS",'
        '"country":"United States","type":"Common Stock"}],"fails":null}'
    )
    assert act(conversation, "subscribe", "NSEI,EUR/USD, BTC/USD")["success"] == [
        {"symbol": "NSEI", "type": "INDEX"},
        {"symbol": "EUR/USD", "exchange": "PHYSICAL CURRENCY", "type": "PHYSICAL_CURRENCY"},
        {"symbol": "BTC/USD", "exchange": "Coinbase Pro", "type": "DIGITAL_CURRENCY"},
    ]


def test_subscribe_plain_documented() -> None:
    conversation = session(fails_null=False, status_style="documented")
    assert act(conversation, "subscribe", "AAPL,RY,RY:TSX,EUR/USD") == {
        "event": "subscribe-status",
        "status": "ok",
        "success": [
            {"symbol": "AAPL", "exchange": "NASDAQ", "country": "United States", "type": "Common Stock"},
            {"symbol": "RY", "exchange": "NYSE", "country": "United States", "type": "Common Stock"},
            {"symbol": "RY", "exchange": "TSX", "country": "Canada", "type": "Common Stock"},
            {"symbol": "EUR/USD", "exchange": "FOREX", "country": "", "type": "Physical Currency"},
        ],
        "fails": [],
    }


def test_subscribe_extended_and_mixed() -> None:
    conversation = session()
    answer = act(
        conversation,
        "subscribe",
        [
            {"symbol": "AAPL", "exchange": "NASDAQ"},
            {"symbol": "RY", "mic_code": "XNYS"},
            {"symbol": "EUR/USD", "type": "Forex"},
            "RY:TSX",
            {"symbol": "MSFT", "type": "no such type"},
        ],
    )
    assert answer["status"] == "warning"
    assert answer["fails"] == [{"symbol": "MSFT"}]
    assert subscribed(conversation) == [("AAPL", "NASDAQ"), ("RY", "NYSE"), ("EUR/USD", None), ("RY", "TSX")]


@pytest.mark.parametrize(("fails_null", "empty"), [(True, None), (False, [])])
def test_all_failed(fails_null: bool, empty: Any) -> None:
    answer = act(session(fails_null=fails_null), "subscribe", "BTC")
    assert answer == {"event": "subscribe-status", "status": "error", "success": empty, "fails": [{"symbol": "BTC"}]}


def test_partly_failed() -> None:
    assert act(session(), "subscribe", "AAPL,1211,BAD,AAPL:XNGS") == {
        "event": "subscribe-status",
        "status": "warning",
        "success": [AAPL],
        "fails": [
            {"symbol": "1211", "message": "You are not authorized to access XHKG data."},
            {"symbol": "BAD"},
            {"symbol": "AAPL"},
        ],
    }


def test_subscribing_twice_is_one_subscription() -> None:
    conversation = session()
    act(conversation, "subscribe", "AAPL")
    assert act(conversation, "subscribe", "AAPL,aapl")["status"] == "ok"
    assert subscribed(conversation) == [("AAPL", "NASDAQ")]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        '"subscribe"',
        "{}",
        '{"action":"buy"}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","params":{}}',
        '{"action":"subscribe","params":{"symbols":""}}',
        '{"action":"subscribe","params":{"symbols":[]}}',
        '{"action":"subscribe","params":{"symbols":[7]}}',
        '{"action":"unsubscribe","params":{"symbols":[{"exchange":"NYSE"}]}}',
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_parsed(message: str | bytes) -> None:
    (answer,) = session().receive(message, 0.0).frames
    assert answer == b'{"event":"subscribe-status","status":"error","messages":["Cant parse message"]}'


def test_unsubscribe() -> None:
    conversation = session()
    act(conversation, "subscribe", "AAPL,RY:TSX,EUR/USD")
    assert act(conversation, "unsubscribe", "AAPL") == {
        "event": "unsubscribe-status",
        "status": "ok",
        "success": [AAPL],
        "fails": None,
    }
    assert act(conversation, "unsubscribe", [{"symbol": "RY", "exchange": "TSX"}, "AAPL"])["status"] == "warning"
    assert subscribed(conversation) == [("EUR/USD", None)]
    assert act(conversation, "unsubscribe", "AAPL")["status"] == "error"


def test_reset() -> None:
    conversation = session()
    act(conversation, "subscribe", "AAPL,EUR/USD")
    assert act(conversation, "reset") == {"event": "reset-status", "status": "ok"}
    assert subscribed(conversation) == []


def test_heartbeat() -> None:
    assert answer(session(), '{"action": "heartbeat"}', 0.0) == b'{"event":"heartbeat","status":"ok"}'


def test_more_events_a_minute_than_allowed_are_refused() -> None:
    conversation = session(events_per_minute=2)
    beat = '{"action":"heartbeat"}'
    answers = [json.loads(answer(conversation, beat, now)) for now in (0.0, 30.0, 59.9, 60.0, 60.1)]
    assert [answer["status"] for answer in answers] == ["ok", "ok", "error", "ok", "error"]
    assert "event" not in answers[2]


@pytest.mark.parametrize(
    ("keys", "key", "accepted"),
    [
        ([], "anything", True),
        ([], "", False),
        ([], None, False),
        (["good"], "good", True),
        (["good"], "demo", True),
        (["good"], "bad", False),
    ],
)
def test_keys(keys: list[str], key: str | None, accepted: bool) -> None:
    assert Keys(StandInSettings(keys=keys)).accepts(key) is accepted
