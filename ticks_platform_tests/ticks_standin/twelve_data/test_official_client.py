"""The provider's own Python client streams from the stand-in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from twelvedata import TDClient

from ticks_standin import StandIn, StandInSettings

QUIET = logging.getLogger("twelvedata-under-test")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


def official(stand_in: StandIn, symbols: list[str], events: list[dict[str, Any]]) -> Any:
    client = TDClient(apikey="demo", base_url=stand_in.http_url, self_heal_time_s=0.1)
    socket = client.websocket(symbols=symbols, on_event=events.append, logger=QUIET)
    socket.url = stand_in.url(key="demo")
    return socket


def leave(socket: Any) -> None:
    """Disconnect for good: the client would reconnect for ever after an error, on a thread that nothing else ends."""
    socket.self_heal = lambda: None
    socket.disconnect()


def test_streams(events: list[dict[str, Any]]) -> None:
    def of(kind: str) -> list[dict[str, Any]]:
        return [event for event in list(events) if event.get("event") == kind]

    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        socket = official(stand_in, ["EUR/USD", "BAD", "aapl"], events)
        socket.connect()
        try:
            wait_for(lambda: of("subscribe-status"))
            (status,) = of("subscribe-status")
            assert status["status"] == "warning"
            assert status["fails"] == [{"symbol": "BAD"}]
            assert {item["symbol"] for item in status["success"]} == {"EUR/USD", "AAPL"}

            stand_in.send_exactly(300)
            wait_for(lambda: len(of("price")) == 300)
            assert {event["symbol"] for event in of("price")} == {"EUR/USD", "AAPL"}
            assert of("price") == stand_in.account().connections[0].price_events_sent()

            socket.subscribe("btc/usd")
            socket.unsubscribe(["AAPL"])
            socket.heartbeat()
            wait_for(lambda: of("heartbeat"))
            assert of("heartbeat") == [{"event": "heartbeat", "status": "ok"}]
            assert [event["status"] for event in of("unsubscribe-status")] == ["ok"]

            stand_in.send_exactly(100)
            wait_for(lambda: len(of("price")) == 400)
            assert {event["symbol"] for event in of("price")[300:]} == {"EUR/USD", "BTC/USD"}

            socket.reset()
            wait_for(lambda: of("reset-status"))
            assert of("reset-status") == [{"event": "reset-status", "status": "ok"}]
            assert stand_in.account().connections[0].subscribed == []
        finally:
            leave(socket)
        wait_for(lambda: stand_in.account().connections[0].ending == "closed")
        assert len(stand_in.account().connections) == 1


def test_comes_back_after_a_drop(events: list[dict[str, Any]]) -> None:
    with StandIn(StandInSettings(rate=200, record=True)) as stand_in:
        socket = official(stand_in, ["AAPL"], events)
        socket.connect()
        try:
            wait_for(lambda: len(events) > 20)
            stand_in.drop_connections()
            wait_for(lambda: len(stand_in.account().connections) == 2)
            stand_in.wait_until_subscribed("AAPL")
            heard = len(events)
            wait_for(lambda: len(events) > heard + 20)
        finally:
            leave(socket)
