"""Messages to Polygon.io, and what its messages mean for the connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ticks_platform.feeds.connector import HandshakeAnswer, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    NotEntitled,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.polygon.connector import MAX_CONNECTIONS_PAUSE, PolygonConnector
from ticks_platform_tests.support.feeds import KEY

TRADE = {"ev": "T", "sym": "MSFT", "p": 114.125, "s": 100, "t": 1536036818784}
CAP = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account. "
    "Please contact support at https://polygon.io/contact to increase your limit."
)


def polygon(**options: Any) -> PolygonConnector:
    return PolygonConnector(url="ws://127.0.0.1:1/stocks", api_key=KEY, options=options)


def status(status: Any, message: Any = None) -> dict[str, Any]:
    return {"ev": "status", "status": status, "message": message}


def receive(*events: Any) -> Reaction:
    return polygon().converse().receive(json.dumps(events).encode())


def notices(*events: Any) -> tuple[Notice, ...]:
    reaction = receive(*events)
    assert not reaction.has_data
    assert not reaction.replies
    return reaction.notices


def test_messages_of_the_client() -> None:
    conversation = polygon().converse()
    assert conversation.authenticates
    assert conversation.heartbeat_interval is None
    assert [json.loads(message) for message in conversation.opening()] == [{"action": "auth", "params": KEY}]
    (message,) = conversation.subscribe(["T.AAPL", "AM.AAPL"])
    assert json.loads(message) == {"action": "subscribe", "params": "T.AAPL,AM.AAPL"}
    (message,) = conversation.unsubscribe(["T.AAPL"])
    assert json.loads(message) == {"action": "unsubscribe", "params": "T.AAPL"}


def test_messages_stay_small() -> None:
    channels = [f"T.O:SPY241220P{number:08}" for number in range(2_500)]
    messages = polygon().converse().subscribe(channels)
    assert max(map(len, messages)) < 100_000
    assert [name for message in messages for name in json.loads(message)["params"].split(",")] == channels


def test_the_key_is_not_in_the_url() -> None:
    endpoint = polygon().endpoint()
    assert KEY not in repr(endpoint)


def test_live_url() -> None:
    def url(**options: Any) -> str:
        return PolygonConnector(url=None, api_key=KEY, options=options).endpoint().url

    assert url() == "wss://socket.massive.com/stocks"
    assert url(market="crypto", cluster="delayed", domain="polygon.io") == "wss://delayed.polygon.io/crypto"


def test_channels_of_a_symbol() -> None:
    assert polygon().channels("AAPL") == ("T.AAPL",)
    assert polygon(channels=["T", "Q", "AM"]).channels("AAPL") == ("T.AAPL", "Q.AAPL", "AM.AAPL")
    assert polygon(market="crypto").channels("BTC-USD") == ("XT.BTC-USD",)
    assert polygon(market="forex").channels("EUR/USD") == ("C.EUR/USD",)
    assert polygon(market="indices").channels("I:SPX") == ("V.I:SPX",)


def test_symbol_names_in_ticks() -> None:
    # Users subscribe to C.EUR-USD and C.EURUSD; the quotes say EUR/USD.
    forex = polygon(market="forex")
    assert {forex.symbol_of(symbol) for symbol in ("EUR/USD", "EUR-USD", "EURUSD")} == {"EUR/USD"}
    assert polygon(market="crypto").symbol_of("BTC-USD") == "BTC-USD"
    assert polygon().symbol_of("GOOGLX") == "GOOGLX"


def test_calendars() -> None:
    markets = {"stocks": "XNYS", "options": "XNYS", "indices": "XNYS", "crypto": "always", "forex": "24/5"}
    assert {market: polygon(market=market).calendar("X") for market in markets} == markets


def test_greeting_and_authentication() -> None:
    assert notices(status("connected", "Connected Successfully")) == ()
    assert notices(status("auth_success", "authenticated")) == (Authenticated(),)
    assert notices(status("connected"), status("auth_success")) == (Authenticated(),)


def test_acknowledgements() -> None:
    both = (status("success", "subscribed to: T.AAPL"), status("success", "subscribed to: A.AAPL"))
    named = [channel for notice in notices(*both) for channel in notice.channels]  # type: ignore[union-attr]
    assert named == ["T.AAPL", "A.AAPL"]
    assert all(isinstance(notice, Acknowledged) for notice in notices(*both))
    for each, channel in zip(both, named, strict=True):
        assert notices(each) == (Acknowledged((channel,)),)
    assert notices(status("success", "subscribed to: T.AAPL, T.MSFT")) == (Acknowledged(("T.AAPL", "T.MSFT")),)
    assert notices(status("success", " subscribed to: C.EUR/USD ")) == (Acknowledged(("C.EUR/USD",)),)
    # The provider does write "unsubscribed to".
    assert notices(status("success", "unsubscribed to: T.AAPL")) == (Unsubscribed(("T.AAPL",)),)
    assert notices(status("success", "something else")) == ()


@pytest.mark.parametrize(
    "text",
    [
        "authentication failed",
        "Your plan doesn't include websocket access. Visit https://massive.com/pricing to upgrade.",
        "",
        None,
    ],
)
def test_refusals(text: str | None) -> None:
    (refused,) = notices(status("auth_failed", text))
    assert isinstance(refused, Refused)
    assert (text or "auth_failed") in refused.reason
    assert KEY not in refused.reason


def test_a_refused_handshake() -> None:
    assert polygon().refusal(HandshakeAnswer(401, b""))
    assert polygon().refusal(HandshakeAnswer(502, b"")) is None
    # The key comes later.
    assert polygon().refusal(HandshakeAnswer(403, b"")) is None
    assert polygon().refusal(HandshakeAnswer(401, b"<html>Sign in</html>")) is None


@pytest.mark.parametrize("text", ["Too many authentication attempts, try again later", "internal error", "timed out"])
def test_an_authentication_that_fails_for_now(text: str) -> None:
    (notice,) = notices(status("auth_failed", text))
    assert isinstance(notice, TryLater)
    assert text in notice.reason


@pytest.mark.parametrize("kind", ["subscription_limit", "error", "max_subscriptions"])
def test_a_plans_limit_of_subscriptions(kind: str) -> None:
    text = "Subscription limit reached (1000 channels). Please upgrade at https://polygon.io/pricing"
    assert notices(status(kind, text)) == (RequestRefused(text, is_limit=True),)


def test_an_error_about_one_channel() -> None:
    conversation = polygon().converse()
    conversation.subscribe(["T.AAPL", "T.MSFT"])
    frame = json.dumps([status("error", "not authorized to subscribe to: T.MSFT")]).encode()
    assert conversation.receive(frame).notices == (
        ChannelsFailed({"T.MSFT": "not authorized to subscribe to: T.MSFT"}),
    )


@pytest.mark.parametrize("text", [CAP, CAP.replace("polygon.io", "massive.com"), CAP.partition(" You")[0] + " "])
def test_too_many_connections(text: str) -> None:
    (later,) = notices(status("max_connections", text))
    assert isinstance(later, TryLater)
    assert later.seconds == MAX_CONNECTIONS_PAUSE
    assert text.strip() in later.reason


def test_authentication_timeout() -> None:
    (later,) = notices(status("auth_timeout", "No authentication request received."))
    assert isinstance(later, TryLater)
    assert 0 < later.seconds < MAX_CONNECTIONS_PAUSE


@pytest.mark.parametrize("text", ["not authorized", "Not Authorized", "not authorized to access this data"])
def test_a_channel_that_is_not_in_the_plan(text: str) -> None:
    (refused,) = notices(status("error", text))
    assert isinstance(refused, NotEntitled)
    # Other channels of the same request succeed.
    answers = notices(status("error", text), status("success", "subscribed to: T.AAPL"))
    assert answers == (refused, Acknowledged(("T.AAPL",)))


@pytest.mark.parametrize("kind", ["slow_consumer", "force_disconnect", "error", "of tomorrow"])
def test_provider_errors(kind: str) -> None:
    assert notices(status(kind, "what it says")) == (ProviderError(f"{kind}: what it says"),)
    assert notices(status(kind)) == (ProviderError(kind),)


def test_data() -> None:
    assert receive(TRADE) == Reaction(has_data=True)
    assert receive(TRADE, TRADE) == Reaction(has_data=True)
    assert receive({"ev": "AM", "sym": "A", "status": "of its own"}) == Reaction(has_data=True)
    assert receive() == Reaction()


def test_statuses_between_data() -> None:
    acknowledged = (Acknowledged(("T.MSFT",)),)
    ack = status("success", "subscribed to: T.MSFT")
    assert receive(TRADE, ack, TRADE) == Reaction(has_data=True, notices=acknowledged)
    assert receive(ack, {**TRADE, "status": 5, "message": [1]}) == Reaction(has_data=True, notices=acknowledged)
    assert receive(ack, {**TRADE, "p": "odd"}) == Reaction(has_data=True, notices=acknowledged)


@pytest.mark.parametrize(
    "event",
    [status(None, "x"), status(5, "x"), status("success", 5), status("error", ["x"]), {"ev": "status"}, status({}, {})],
    ids=json.dumps,
)
def test_malformed_statuses(event: dict[str, Any]) -> None:
    assert all(isinstance(notice, ProviderError) for notice in notices(event))
    assert Authenticated() in notices(event, status("auth_success"))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b"\x00",
        b'"status"',
        b'["status"]',
        b'[{"ev":"status","status":"auth_failed"',
        b'[{"ev":"status","status":"\xff"}]',
        b'{"ev":"status" "status"}',
        b'[{"ev":"status","status":' + b"[" * 200_000,
        b'[{"ev":"status","status":' + b"9" * 100_000 + b"e9}]",
    ],
    ids=range(10),
)
def test_garbage_is_left_to_the_loader(frame: bytes) -> None:
    assert polygon().converse().receive(frame).notices == ()
