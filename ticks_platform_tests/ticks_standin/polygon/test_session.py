"""Polygon.io's protocol without a socket: the handshake, the channels, and the shape of each event."""

from __future__ import annotations

import json
import random
import time
from decimal import Decimal
from typing import Any

import pytest

from ticks_standin import StandInSettings
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Market
from ticks_standin.polygon.events import EventMaker
from ticks_standin.polygon.session import PolygonSession
from ticks_standin.provider.keys import Keys

NOON_MS = 1_700_049_600_000


def session(market: str = "stocks", **options: Any) -> PolygonSession:
    settings = StandInSettings(**options)
    maker = EventMaker(settings, Listings(accept_any=settings.accept_any_symbol))
    return PolygonSession(settings, maker, Keys(settings), market, random.Random(1))


def say(conversation: PolygonSession, action: str, params: str) -> list[list[tuple[str, str]]]:
    """The frames that answer, each a list of status and message."""
    reply = conversation.receive(json.dumps({"action": action, "params": params}), 0.0)
    frames = [json.loads(frame) for frame in reply.frames]
    assert {status["ev"] for frame in frames for status in frame} <= {"status"}
    return [[(status["status"], status["message"]) for status in frame] for frame in frames]


def entered(market: str = "stocks", **options: Any) -> PolygonSession:
    conversation = session(market, **options)
    assert say(conversation, "auth", "demo") == [[("auth_success", "authenticated")]]
    return conversation


def events(market: str, *channels: str, count: int = 200, at_ms: int = NOON_MS, **options: Any) -> list[dict[str, Any]]:
    """What ticks of these channels give."""
    conversation = entered(market, **options)
    say(conversation, "subscribe", ",".join(channels))
    ticks = Market(1)
    made = []
    for number in range(count):
        for source in conversation.sources():
            at = at_ms + number
            for event in source.events(ticks.tick(source.instrument, at // 1_000), at):
                assert conversation.is_subscribed_to(event.topic)
                made.append(json.loads(event.payload))
    return made


def test_greeting() -> None:
    (frame,) = session().greeting()
    assert frame == b'[{"ev":"status","status":"connected","message":"Connected Successfully"}]'


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        ({"keys": ["good"]}, "bad", "authentication failed"),
        ({}, "", "authentication failed"),
        (
            {"keys": ["good"], "polygon_bad_key_mode": "not_entitled"},
            "bad",
            "Your plan doesn't include websocket access.",
        ),
        ({"polygon_unentitled_markets": ["stocks"]}, "demo", "Your plan doesn't include websocket access."),
    ],
)
def test_refusal(options: dict[str, Any], key: str, text: str) -> None:
    reply = session(**options).receive(json.dumps({"action": "auth", "params": key}), 0.0)
    assert reply.drop
    (status,) = json.loads(reply.frames[0])
    assert status["status"] == "auth_failed"
    assert status["message"].startswith(text)


def test_a_wrong_key_may_be_answered_by_the_timeout_only() -> None:
    conversation = session(keys=["good"], polygon_bad_key_mode="auth_timeout")
    assert say(conversation, "auth", "bad") == []
    overdue = conversation.overdue()
    assert overdue is not None
    assert overdue.drop
    assert json.loads(overdue.frames[0])[0]["status"] == "auth_timeout"
    assert entered().overdue() is None


def test_one_status_per_channel() -> None:
    acks = [("success", "subscribed to: T.AAPL"), ("success", "subscribed to: A.AAPL")]
    assert say(entered(), "subscribe", "T.AAPL, A.AAPL") == [acks]
    assert say(entered(polygon_ack_frames="several"), "subscribe", "T.AAPL,A.AAPL") == [[acks[0]], [acks[1]]]


def test_unsubscribe() -> None:
    conversation = entered()
    say(conversation, "subscribe", "T.AAPL,T.MSFT")
    assert say(conversation, "unsubscribe", "T.AAPL") == [[("success", "unsubscribed to: T.AAPL")]]
    assert conversation.subscriptions() == ["T.MSFT"]
    assert not conversation.is_subscribed_to(("stocks", "T", "AAPL"))


def test_silences() -> None:
    conversation = entered()
    assert say(conversation, "subscribe", "ZZ.AAPL") == []
    assert say(conversation, "subscribe", "T.AAPL") != []
    assert say(conversation, "subscribe", "T.AAPL") == []
    assert say(conversation, "subscribe", "T.NOTATICKER") == [[("success", "subscribed to: T.NOTATICKER")]]
    assert [source.name for source in conversation.sources()] == ["T.AAPL"]
    assert say(conversation, "unheard-of", "x") == []


def test_unauthorized_channels_do_not_hold_up_others() -> None:
    conversation = entered(polygon_unauthorized_channels=["Q", "T.MSFT"])
    answers = say(conversation, "subscribe", "Q.AAPL,T.AAPL,T.MSFT")
    assert answers == [[("error", "not authorized"), ("success", "subscribed to: T.AAPL"), ("error", "not authorized")]]
    assert conversation.subscriptions() == ["T.AAPL"]


def test_wildcards() -> None:
    conversation = entered()
    assert say(conversation, "subscribe", "T.*") == [[("success", "subscribed to: T.*")]]
    assert conversation.is_subscribed_to(("stocks", "T", "AAPL"))
    assert not conversation.is_subscribed_to(("stocks", "Q", "AAPL"))
    assert not conversation.is_subscribed_to(("crypto", "XT", "BTC-USD"))
    assert {"T.AAPL", "T.SPY", "T.KO"} <= {source.name for source in conversation.sources()}


def test_before_authentication_nothing_is_subscribed() -> None:
    conversation = session()
    assert say(conversation, "subscribe", "T.AAPL") == [[("error", "not authorized")]]
    assert conversation.subscriptions() == []
    assert conversation.account is None


@pytest.mark.parametrize("message", ["", "[]", "{", '{"action":1}', b"\xff"])
def test_nonsense_is_answered(message: str | bytes) -> None:
    assert json.loads(entered().receive(message, 0.0).frames[0])[0]["status"] == "error"


def test_frames_are_of_mixed_sizes() -> None:
    sizes = list(entered(batch_max=40).batches(5_000))
    assert sum(sizes) == 5_000
    assert min(sizes) == 1
    assert 30 < max(sizes) <= 40
    assert entered().wrap([b"{}", b"{}"]) == b"[{},{}]"


def test_trades() -> None:
    made = events("stocks", "T.AAPL", count=2_000, polygon_fractional_share=0.2, polygon_tape="plain")
    assert list(made[0])[:3] == ["ev", "sym", "x"]
    assert len({(each["sym"], each["x"], each["i"]) for each in made}) == 2_000
    sequence = [each["q"] for each in made]
    assert sequence == sorted(set(sequence))
    assert sequence[-1] - sequence[0] > 2_000, "gaps are normal"
    assert {"c" in each for each in made} == {True, False}
    assert [] not in [each.get("c") for each in made]
    for number, each in enumerate(made):
        assert isinstance(each["i"], str)
        assert isinstance(each["p"], float)
        assert isinstance(each["s"], int)
        assert int(Decimal(each["ds"])) == each["s"]
        assert Decimal(each["ds"]) > 0
        assert each["t"] == NOON_MS + number
        assert each["t"] - 4 < each["pt"] <= each["t"]
        assert ("trfi" in each) == ("trft" in each) == (each["x"] == 4)
    assert 0.1 < sum("." in each["ds"] for each in made) / 2_000 < 0.3
    assert any(each["s"] == 0 for each in made)


def test_optional_fields_of_trades() -> None:
    made = events("stocks", "T.AAPL", polygon_decimal_sizes=False, polygon_participant_time=False)
    assert not {"ds", "pt"} & {field for each in made for field in each}


def test_sequence_numbers_may_go_back() -> None:
    sequence = [each["q"] for each in events("stocks", "T.AAPL", polygon_backward_q=0.3)]
    assert sequence != sorted(sequence)


def test_ids_differ_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {each["i"] for each in events("stocks", "T.AAPL")}
    later = time.time_ns() + 5_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert not first & {each["i"] for each in events("stocks", "T.AAPL")}


def test_quotes() -> None:
    made = events("stocks", "Q.AAPL", count=1_000, polygon_one_sided_share=0.1)
    whole = [each for each in made if each.get("bp") and each.get("ap")]
    assert 700 < len(whole) < 980
    for each in whole:
        assert each["bp"] < each["ap"]
        assert isinstance(each["c"], int)
    assert any("ap" not in each for each in made)
    assert any(each.get("bp") == 0 for each in made)


def test_forex_quotes() -> None:
    for channel in ("C.EUR/USD", "C.EUR-USD", "C.EURUSD"):
        (each,) = events("forex", channel, count=1)
        assert (each["ev"], each["p"], each["x"], each["t"]) == ("C", "EUR/USD", "48", NOON_MS)
        assert each["b"] < each["a"]
    assert events("forex", "C.EUR/USD", count=1, polygon_numeric_forex_exchange=True)[0]["x"] == 48


def test_crypto() -> None:
    trades = events("crypto", "XT.BTC-USD")
    for each in trades:
        assert each["pair"] == "BTC-USD"
        assert isinstance(each["i"], str)
        assert each["c"] in ([1], [2])
        assert each["r"] >= each["t"]
        assert 0 < each["s"] == round(each["s"], 8)
    assert isinstance(events("crypto", "XT.BTC-USD", count=1, polygon_numeric_crypto_ids=True)[0]["i"], int)
    (quote,) = events("crypto", "XQ.BTC-USD", count=1)
    assert list(quote) == ["ev", "pair", "bp", "bs", "ap", "as", "t", "x", "r"]


def test_indices() -> None:
    (value,) = events("indices", "V.I:SPX", count=1)
    assert list(value) == ["ev", "val", "T", "t"]
    assert value["T"] == "I:SPX"


@pytest.mark.parametrize(
    ("market", "channels", "fields"),
    [
        ("stocks", ("A.AAPL", "AM.AAPL"), "ev sym v av op vw o c h l a z s e dv dav"),
        ("crypto", ("XAS.BTC-USD", "XA.BTC-USD"), "ev pair o c h l v vw z s e"),
        ("forex", ("CAS.EUR/USD", "CA.EUR/USD"), "ev pair o c h l v s e"),
        ("indices", ("A.I:SPX", "AM.I:SPX"), "ev sym op o c h l s e"),
    ],
)
def test_bars(market: str, channels: tuple[str, str], fields: str) -> None:
    conversation = entered(market)
    say(conversation, "subscribe", ",".join(channels))
    (source, same) = conversation.sources()
    assert source is same
    ticks = Market(1)
    for number in range(100):
        source.events(ticks.tick(source.instrument, NOON_MS // 1_000), NOON_MS + number)
    maker = conversation._events
    assert maker.due(NOON_MS + 999) == []
    second = maker.due(NOON_MS + 1_000)
    minute = maker.due(NOON_MS + 60_000)
    for (event,), channel, length in ((second, channels[0], 1_000), (minute, channels[1], 60_000)):
        bar = json.loads(event.payload)
        assert event.name == channel
        assert conversation.is_subscribed_to(event.topic)
        assert list(bar) == fields.split()
        assert bar["ev"] == channel.partition(".")[0]
        # As in the documentation's sample, bars of indices end where they begin.
        assert (bar["s"], bar["e"]) == (NOON_MS, NOON_MS + length * (market != "indices"))
        assert bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"]
    assert maker.due(NOON_MS + 120_000) == []


def test_index_bars_that_have_an_end() -> None:
    conversation = entered("indices", polygon_index_bar_end="end")
    say(conversation, "subscribe", "AM.I:SPX")
    (source,) = conversation.sources()
    source.events(Market(1).tick(source.instrument, NOON_MS // 1_000), NOON_MS)
    bars = [json.loads(event.payload) for event in conversation._events.due(NOON_MS + 60_000)]
    assert {(bar["ev"], bar["e"] - bar["s"]) for bar in bars} == {("A", 1_000), ("AM", 60_000)}


def test_letters_of_tickers_tell_them_apart() -> None:
    assert events("stocks", "T.BACpB", count=1)[0]["sym"] == "BACpB"
    for market, channel in (
        ("stocks", "T.BACPB"),
        ("stocks", "T.aapl"),
        ("forex", "C.eur/usd"),
        ("crypto", "XT.btc-usd"),
    ):
        conversation = entered(market)
        assert say(conversation, "subscribe", channel) == [[("success", f"subscribed to: {channel}")]]
        assert list(conversation.sources()) == [], "acknowledged, and silent"
    conversation = entered("stocks", accept_any_symbol=True)
    say(conversation, "subscribe", "T.BACPB,T.BACpB,T.bacpb")
    sources = list(conversation.sources())
    assert [source.symbol for source in sources] == ["BACPB", "BACpB", "bacpb"]
    assert len({source.instrument for source in sources}) == 3


def test_options_have_trades_without_ids_and_quotes() -> None:
    symbol = "O:SPY251219C00650000"
    found = events("options", f"T.{symbol}", f"Q.{symbol}", polygon_option_twins=0.3)
    trades = [event for event in found if event["ev"] == "T"]
    assert {frozenset(trade) - {"c"} for trade in trades} == {frozenset(("ev", "sym", "x", "p", "s", "t", "q"))}
    assert {event["sym"] for event in found} == {symbol}
    alike = [tuple(map(str, (trade["t"], trade["p"], trade["s"], trade["x"], trade.get("c")))) for trade in trades]
    assert 0 < len(alike) - len(set(alike)) < len(alike) / 2
    assert len({trade["q"] for trade in trades}) == len(trades)
    quotes = [event for event in found if event["ev"] == "Q"]
    assert {frozenset(quote) for quote in quotes} == {
        frozenset(("ev", "sym", "bx", "ax", "bp", "ap", "bs", "as", "t", "q"))
    }


def test_what_is_no_option_is_acknowledged_and_silent() -> None:
    conversation = entered("options")
    (acks,) = say(conversation, "subscribe", "T.SPY")
    assert acks[0][0] == "success"
    assert list(conversation.sources()) == []
