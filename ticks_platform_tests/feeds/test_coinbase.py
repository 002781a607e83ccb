"""The example of docs/connectors.md: decoding, and a whole run against a server on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ticks_platform.feeds.coinbase import Coinbase
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Control, ProviderError, Rejected, Tick
from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.settings import load_settings
from ticks_platform.feeds.transport.state import State
from ticks_platform.subscribing import TradeKey, subscribe
from ticks_platform_tests.support.feeds import Peer, PeerServer, Running
from ticks_platform_tests.support.subscribing import Recorder, feed

TRADE = {
    "type": "match",
    "trade_id": 10,
    "sequence": 50,
    "maker_order_id": "ac928c66-ca53-498f-9c13-a110027a60e8",
    "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
    "time": "2014-11-07T08:19:27.028459Z",
    "product_id": "BTC-USD",
    "size": "5.23512",
    "price": "400.23",
    "side": "sell",
}
TICK = Tick("BTC-USD", 1_415_348_367_028_459_000, 400.23, size=5.23512, trade_id="10")

ERROR = {"type": "error", "message": "Failed to subscribe", "reason": "XX-YY is not a valid product"}


def frame(**fields: object) -> bytes:
    return json.dumps({**TRADE, **fields}).encode()


def subscriptions(*products: str) -> bytes:
    return json.dumps({"type": "subscriptions", "channels": [{"name": "matches", "product_ids": products}]}).encode()


@pytest.fixture
def connector() -> Coinbase:
    return Coinbase(url=None, api_key=None)


@pytest.mark.parametrize("kind", ["match", "last_match"])
def test_a_trade_is_exact_to_the_microsecond(connector: Coinbase, kind: str) -> None:
    assert connector.decode(frame(type=kind)) == [TICK]
    assert connector.converse().receive(frame(type=kind)).has_data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        frame(price="NaN"),
        frame(price="-inf"),
        frame(price=None),
        frame(time="2014-11-07T08:19:27.028459"),
        frame(time="yesterday"),
        json.dumps({"type": "match"}).encode(),
    ],
)
def test_what_is_no_trade_is_rejected_with_its_bytes(connector: Coinbase, data: bytes) -> None:
    (event,) = connector.decode(data)
    assert isinstance(event, Rejected)
    assert event.raw == data
    connector.converse().receive(data)


@pytest.mark.parametrize(
    ("fields", "malformed"),
    [
        ({"size": "N/A"}, ("size",)),
        ({"size": {}, "trade_id": [1]}, ("trade_id", "size")),
        ({"trade_id": 1.5}, ("trade_id",)),
        ({"message": None, "reason": 5, "channels": "x"}, None),
        ({"maker_order_id": "\ud800"}, None),
    ],
)
def test_an_optional_field_costs_no_price(
    connector: Coinbase, fields: dict[str, Any], malformed: tuple[str, ...] | None
) -> None:
    (event,) = connector.decode(frame(**fields))
    assert event == msgspec.structs.replace(TICK, **dict.fromkeys(malformed or ()), malformed=malformed)


def test_a_missing_id_or_size(connector: Coinbase) -> None:
    (event,) = connector.decode(frame(trade_id=None, size=None))
    assert event == msgspec.structs.replace(TICK, trade_id=None, size=None)


def test_control_messages_are_no_data(connector: Coinbase) -> None:
    assert connector.decode(subscriptions("BTC-USD")) == [Control("subscriptions")]
    assert connector.decode(json.dumps(ERROR).encode()) == [Control("error")]


def test_subscriptions_are_the_acknowledgement(connector: Coinbase) -> None:
    reaction = connector.converse().receive(subscriptions("BTC-USD", "ETH-USD"))
    assert reaction == (False, (Acknowledged(("BTC-USD", "ETH-USD")),), ())
    assert connector.converse().receive(json.dumps({"type": "subscriptions", "channels": []}).encode()).notices == ()


@pytest.mark.parametrize("products", [None, 5, [1], [[]], [None], {"BTC-USD": 1}])
def test_products_that_are_no_names_acknowledge_nothing(connector: Coinbase, products: object) -> None:
    message = {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": products}]}
    assert connector.converse().receive(json.dumps(message).encode()).notices == ()


def test_an_error_names_its_product_or_is_a_complaint(connector: Coinbase) -> None:
    conversation = connector.converse()
    failed = ChannelsFailed({"XX-YY": "XX-YY is not a valid product"})
    assert conversation.receive(json.dumps(ERROR).encode()).notices == (failed,)
    other = json.dumps({"type": "error", "message": "Malformed JSON", "reason": "?"}).encode()
    assert conversation.receive(other).notices == (ProviderError("Malformed JSON: ?"),)


def exchange(peer: Peer) -> None:
    """A server that behaves like Coinbase."""
    peer.upgrade()
    known: list[str] = []
    while True:
        _, payload = peer.receive()
        if not payload.startswith(b"{"):
            peer.send(payload, 0x8)
            return
        message = json.loads(payload)
        assert message["type"] == "subscribe"
        assert message["channels"] == ["matches"]
        (product,) = message["product_ids"]
        if product == "XX-YY":
            peer.send(json.dumps(ERROR).encode())
            continue
        known.append(product)
        peer.send(frame(type="last_match", product_id=product))
        peer.send(subscriptions(*known))
        peer.send(frame(product_id=product, trade_id=11))


def test_a_whole_run(connector: Coinbase) -> None:
    with PeerServer(exchange) as server:
        speaker = Coinbase(url=server.url, api_key=None)
        with Running(speaker, symbols=("BTC-USD", "XX-YY", "ETH-USD")) as running:
            running.wait_for(State.STREAMING)
            assert running.wait_for_notice(ChannelsFailed).reasons == {"XX-YY": "XX-YY is not a valid product"}
            assert running.wait_for_notice(Acknowledged).channels == ("BTC-USD",)
        assert running.failure is None


def test_it_is_named_in_feeds_yaml_and_can_be_subscribed_to(tmp_path: Path) -> None:
    assert find_connector("coinbase") is Coinbase
    assert find_connector("examples.coinbase.Coinbase") is Coinbase, "its old name"
    file = tmp_path / "feeds.yaml"
    file.write_text("feeds: {coins: {provider: examples.coinbase.Coinbase, symbols: [BTC-USD]}}", encoding="utf-8")
    assert load_settings(file).feed("coins").connector().endpoint().url == "wss://ws-feed.exchange.coinbase.com"
    recorder = Recorder()
    with PeerServer(exchange) as server:
        settings = feed(server.url, "examples.coinbase.Coinbase", symbols=["BTC-USD"], api_key_env=None)
        with subscribe(settings, recorder):
            recorder.wait_for(2)
    assert [change.row.trade_id for change in recorder.changes] == ["10", "11"]
    assert isinstance(recorder.changes[0].key, TradeKey)
