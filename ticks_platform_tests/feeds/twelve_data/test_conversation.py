"""Messages to Twelve Data, and what its messages mean for the connection."""

from __future__ import annotations

import json

import pytest

from ticks_platform.feeds.connector import HandshakeAnswer, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    Unsubscribed,
)
from ticks_platform.feeds.twelve_data.connector import HEARTBEAT_INTERVAL, URL, TwelveDataConversation
from ticks_platform_tests.support.feeds import KEY, price, twelve_data


def subscribed(*symbols: str) -> TwelveDataConversation:
    conversation = twelve_data("ws://127.0.0.1:1").converse()
    conversation.subscribe(symbols or ("AAPL", "BTC/USD"))
    return conversation


def notices(conversation: TwelveDataConversation, frame: bytes) -> tuple[Notice, ...]:
    reaction = conversation.receive(frame)
    assert not reaction.has_data
    assert not reaction.replies
    return reaction.notices


def test_one_message_for_all_symbols() -> None:
    conversation = twelve_data("ws://127.0.0.1:1").converse()
    assert conversation.opening() == ()
    (message,) = conversation.subscribe(["AAPL", "RY:TSX", "EUR/USD"])
    assert json.loads(message) == {"action": "subscribe", "params": {"symbols": "AAPL,RY:TSX,EUR/USD"}}
    (message,) = conversation.unsubscribe(["AAPL", "EUR/USD"])
    assert json.loads(message) == {"action": "unsubscribe", "params": {"symbols": "AAPL,EUR/USD"}}


def test_heartbeat() -> None:
    assert json.loads(subscribed().heartbeat()) == {"action": "heartbeat"}
    # "every 10 seconds or so" (ws-overview)
    assert subscribed().heartbeat_interval == HEARTBEAT_INTERVAL <= 10.0


def test_the_key_is_in_the_header_only() -> None:
    endpoint = twelve_data(URL).endpoint()
    assert endpoint.headers == {"X-TD-APIKEY": KEY}
    assert endpoint.url == URL
    assert KEY not in endpoint.public_url
    assert twelve_data(f"{URL}?a=b").endpoint().public_url == URL


def test_prices_are_data_and_nothing_else() -> None:
    assert subscribed().receive(price()) == Reaction(has_data=True)
    assert subscribed().receive(b'{"event":"heartbeat","status":"ok"}') == Reaction()


@pytest.mark.parametrize("fails", [b'"fails":null', b'"fails":[]', b'"mic":1'], ids=["null", "empty", "absent"])
def test_all_subscribed(fails: bytes) -> None:
    conversation = subscribed()
    frame = (
        b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL","exchange":"NASDAQ","mic_code":"XNGS",'
        b'"country":"United States","type":"Common Stock"},{"symbol":"BTC/USD","exchange":"Coinbase Pro",'
        b'"type":"DIGITAL_CURRENCY"}],' + fails + b"}"
    )
    assert notices(conversation, frame) == (Acknowledged(("AAPL", "BTC/USD")),)


@pytest.mark.parametrize("success", [b'"success":null,', b'"success":[],', b""], ids=["null", "empty", "absent"])
def test_all_failed(success: bytes) -> None:
    conversation = subscribed("AAPL", "BTC")
    frame = b'{"event":"subscribe-status","status":"error",' + success + b'"fails":[{"symbol":"BTC"}]}'
    (failed,) = notices(conversation, frame)
    assert isinstance(failed, ChannelsFailed)
    assert list(failed.reasons) == ["BTC"]
    assert failed.reasons["BTC"]


def test_partly_failed() -> None:
    conversation = subscribed("AAPL", "1211", "MSFT")
    frame = (
        b'{"event":"subscribe-status","status":"warning","success":[{"symbol":"AAPL"}],'
        b'"fails":[{"symbol":"1211","message":"You are not authorized to access XHKG data."}]}'
    )
    assert notices(conversation, frame) == (
        Acknowledged(("AAPL",)),
        ChannelsFailed({"1211": "You are not authorized to access XHKG data."}),
    )


def test_a_plan_that_ends_is_no_refusal() -> None:
    conversation = subscribed("AAPL", "1211")
    notices(conversation, b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL"},{"symbol":"1211"}]}')
    message = "You are not authorized to access XHKG data."
    for frame in (
        b'{"event":"subscribe-status","status":"error","success":null,"fails":[{"symbol":"1211","message":"%s"}]}',
        b'{"event":"subscribe-status","status":"error","messages":["%s"]}',
        b'{"status":"error","message":"%s"}',
    ):
        (notice,) = notices(conversation, frame % message.encode())
        assert notice in (ChannelsFailed({"1211": message}), ProviderError(message))


@pytest.mark.parametrize("status", [b"error", b"Error", b"ERROR"])
def test_unparsable_request(status: bytes) -> None:
    conversation = subscribed()
    frame = b'{"event":"subscribe-status","status":"%s","messages":["Cant parse message"]}' % status
    # Nothing was acknowledged: it is about the whole request.
    assert notices(conversation, frame) == (RequestRefused("Cant parse message"),)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("NSEI", '{"symbol":"NSEI","type":"INDEX"}'),
        ("XAGg/TRY", '{"symbol":"XAGG/TRY","exchange":"PHYSICAL CURRENCY","type":"PHYSICAL_CURRENCY"}'),
        ("aapl", '{"symbol":"AAPL"}'),
        ("RY:TSX", '{"symbol":"RY","exchange":"TSX"}'),
        ("RY:TSX", '{"symbol":"RY:TSX"}'),
        ("EUR/USD", '{"symbol":"EUR/USD","exchange":"FOREX","country":"","type":"Physical Currency","more":[1]}'),
    ],
)
def test_forms_of_an_item(asked: str, answered: str) -> None:
    for outcome in ("success", "fails"):
        conversation = subscribed("MSFT", asked)
        frame = f'{{"event":"subscribe-status","status":"ok","{outcome}":[{answered}]}}'
        (notice,) = notices(conversation, frame.encode())
        assert isinstance(notice, Acknowledged | ChannelsFailed)
        assert list(notice.channels if isinstance(notice, Acknowledged) else notice.reasons) == [asked]


def test_the_exchange_tells_listings_apart() -> None:
    conversation = subscribed("RY", "RY:TSX")
    for exchange, asked in (("TSX", "RY:TSX"), ("NYSE", "RY")):
        frame = f'{{"event":"subscribe-status","success":[{{"symbol":"RY","exchange":"{exchange}"}}]}}'
        assert notices(conversation, frame.encode()) == (Acknowledged((asked,)),)


def test_unsubscribed() -> None:
    frame = b'{"event":"unsubscribe-status","status":"ok","success":[{"symbol":"RY","exchange":"TSX"}],"fails":null}'
    assert notices(subscribed("AAPL", "RY:TSX"), frame) == (Unsubscribed(("RY:TSX",)),)


def test_a_failure_without_an_exchange_is_not_of_a_listing_that_streams() -> None:
    conversation = subscribed("ETH/USD:Coinbase Pro")
    acknowledged = b'"success":[{"symbol":"ETH/USD","exchange":"Coinbase Pro"}]'
    notices(conversation, b'{"event":"subscribe-status","status":"ok",' + acknowledged + b"}")
    conversation.subscribe(["ETH/USD:Kraken"])
    frame = b'{"event":"subscribe-status","status":"error","success":null,"fails":[{"symbol":"ETH/USD"}]}'
    (failed,) = notices(conversation, frame)
    assert isinstance(failed, ChannelsFailed)
    assert list(failed.reasons) == ["ETH/USD:Kraken"]


def test_the_answers_to_an_exchange_of_listings() -> None:
    conversation = subscribed("ETH/USD")
    conversation.unsubscribe(["ETH/USD"])
    conversation.subscribe(["ETH/USD:Coinbase Pro", "ETH/USD:Kraken"])
    item = b'{"symbol":"ETH/USD","exchange":"Coinbase Pro"}'
    frame = b'{"event":"unsubscribe-status","status":"ok","success":[%s],"fails":null}' % item
    assert notices(conversation, frame) == (Unsubscribed(("ETH/USD",)),)
    frame = b'{"event":"subscribe-status","status":"warning","success":[%s],"fails":[{"symbol":"ETH/USD"}]}' % item
    acknowledged, failed = notices(conversation, frame)
    assert acknowledged == Acknowledged(("ETH/USD:Coinbase Pro",))
    assert isinstance(failed, ChannelsFailed)
    assert list(failed.reasons) == ["ETH/USD:Kraken"]


def test_an_item_that_names_nothing_does_not_hide_the_others() -> None:
    conversation = subscribed("AAPL", "MSFT")
    frame = (
        b'{"event":"subscribe-status","status":"ok","success":[{"exchange":"NYSE"},{"symbol":null},{"symbol":"AAPL"}]}'
    )
    assert notices(conversation, frame) == (Acknowledged(("AAPL",)),)


def test_answers_that_come_one_by_one() -> None:
    conversation = subscribed("AAPL", "MSFT")
    for symbol in ("AAPL", "AAPL", "MSFT"):
        frame = f'{{"event":"subscribe-status","status":"ok","success":[{{"symbol":"{symbol}"}}]}}'
        assert notices(conversation, frame.encode()) == (Acknowledged((symbol,)),)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"status":"error","code":401,"message":"no"}',
        b'{"event":"subscribe-status","status":"error","messages":["**apikey** parameter is incorrect"]}',
        b'{"event":"error","status":"error","message":"Invalid API key"}',
        b'{"event":"error","status":"error","message":"Unauthorized"}',
        b'{"status":"Error","message":"invalid token"}',
    ],
)
def test_key_errors(frame: bytes) -> None:
    (notice,) = notices(subscribed(), frame)
    assert isinstance(notice, Refused)
    assert "Twelve Data" in notice.reason


@pytest.mark.parametrize(
    "frame",
    [
        b'{"status":"error","code":429,"message":"You have sent too many events. Wait for the next minute."}',
        b'{"status":"error","code":429,"message":"Your API key has run out of API credits for the current minute."}',
        b'{"status":"error","code":500,"message":"Internal error"}',
        b'{"status":"error","code":"403","message":"no"}',
        b'{"status":"error","message":"Too many connections for this API key, please slow down"}',
        b'{"status":"error","message":"Your API key has run out of credits, please upgrade"}',
        b'{"status":"error","code":401,"message":"You are unauthorized to access XHKG data."}',
        b'{"event":"error","status":"error","message":"You are unauthorized to access XHKG data."}',
        b'{"status":"error"}',
    ],
)
def test_temporary_errors(frame: bytes) -> None:
    (notice,) = notices(subscribed(), frame)
    assert isinstance(notice, ProviderError)
    assert notice.message


@pytest.mark.parametrize(
    "frame",
    [
        b'{"status":"error","code":400,"symbol":"1211","message":"%s"}',
        b'{"event":"error","status":"error","message":"%s"}',
        b'{"event":"subscribe-status","status":"error","messages":["%s"]}',
    ],
)
def test_errors_that_name_a_symbol(frame: bytes) -> None:
    message = b"**symbol** not found: 1211. Please specify it correctly according to API Documentation."
    expected = ChannelsFailed({"1211": message.decode()})
    assert notices(subscribed("AAPL", "1211"), frame % message) == (expected,)


def test_a_key_error_after_an_acknowledgement_is_no_refusal() -> None:
    conversation = subscribed()
    notices(conversation, b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL"}]}')
    frame = b'{"status":"error","code":401,"message":"**apikey** parameter is incorrect or not specified."}'
    (notice,) = notices(conversation, frame)
    assert isinstance(notice, ProviderError)


@pytest.mark.parametrize(
    ("message", "is_limit"),
    [
        ("You are unauthorized to access XHKG data.", False),
        ("Subscription limit reached: your plan allows 500 symbols", True),
        ("You have exceeded the maximum number of symbols for your API key", True),
    ],
)
def test_a_whole_subscription_is_refused(message: str, is_limit: bool) -> None:
    frame = b'{"event":"subscribe-status","status":"error","messages":["%s"]}' % message.encode()
    assert notices(subscribed(), frame) == (RequestRefused(message, is_limit),)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"event":"unsubscribe-status","status":"ok"}',
        b'{"event":"reset-status","status":"ok"}',
        b'{"event":"tomorrow","success":"yes"}',
        b'{"event":"subscribe-status","status":"ok","success":"AAPL"}',
        b'{"event":"subscribe-status","status":"ok","success":null,"fails":null}',
        b'{"event":"subscribe-status"}',
    ],
)
def test_frames_without_a_notice(frame: bytes) -> None:
    conversation = subscribed()
    assert conversation.receive(frame) == Reaction()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (401, b'{"code":401,"message":"**apikey** parameter is incorrect or not specified.","status":"error"}'),
        (200, b'{"code":401,"message":"**apikey** parameter is incorrect or not specified.","status":"error"}'),
        (200, b'{"code":"401","status":"error"}'),
        (400, b'{"code":400,"message":"**apikey** parameter is incorrect or not specified.","status":"error"}'),
        (400, b'{"message":"Unauthorized"}'),
    ],
)
def test_refusals(status: int, body: bytes) -> None:
    refusal = twelve_data(URL).refusal(HandshakeAnswer(status, body))
    assert refusal is not None
    assert "Twelve Data" in refusal
    assert str(status) in refusal
    assert KEY not in refusal


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<html>Forbidden</html>"),
        (403, b""),
        (401, b"<!DOCTYPE html><title>Sign in</title>"),
        (403, b'{"code":403,"message":"You have been blocked","status":"error"}'),
        (200, b'{"code":403,"message":"no","status":"error"}'),
        (401, b'{"code":401,"message":"You are unauthorized to access XHKG data.","status":"error"}'),
        (401, b'{"code":401,"message":"Too many connections for this API key, please slow down","status":"error"}'),
        (400, b'{"code":400,"message":"The limit of connections of your API key is reached","status":"error"}'),
        (500, b""),
        (502, b"<html>Bad Gateway</html>"),
        (503, b'{"code":503,"message":"try later"}'),
        (503, b'{"code":503,"message":"the API key service is away"}'),
        (429, b'{"code":429,"message":"Your API key has run out of API credits for the current minute."}'),
        (200, b'{"code":429,"message":"Your API key has run out of API credits for the current minute."}'),
        (400, b'{"code":400,"message":"Bad Request"}'),
        (404, b""),
        (200, b""),
        (400, b"[" * 200_000),
        (400, b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        (400, b"[401]"),
        (400, b"\xff\0"),
        (400, b'{"message":5,"code":{}}'),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_responses_that_may_be_retried(status: int, body: bytes) -> None:
    assert twelve_data(URL).refusal(HandshakeAnswer(status, body)) is None
