"""Polygon's own Python client (massive) streams from the stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from massive import WebSocketClient
from massive.exceptions import AuthError

from ticks_standin import StandIn, StandInSettings


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def official(stand_in: StandIn, *channels: str, key: str = "demo", market: str = "stocks") -> WebSocketClient:
    where = stand_in.http_url.removeprefix("http://")
    return WebSocketClient(key, feed=where, market=market, secure=False, subscriptions=list(channels))


@contextlib.contextmanager
def running(client: WebSocketClient, heard: list[Any]) -> Iterator[None]:
    """Streams on a thread until the block ends."""
    loop = asyncio.new_event_loop()

    async def keep(messages: list[Any]) -> None:
        heard.extend(messages)

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(streaming)
        if client.websocket is not None:
            client.websocket.transport.abort()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0.01))

    streaming = loop.create_task(client.connect(keep))
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        while thread.is_alive():
            # Until Python 3.12 a cancellation is lost that meets a message in asyncio.wait_for.
            loop.call_soon_threadsafe(streaming.cancel)
            thread.join(0.1)
        loop.close()


def test_streams_and_survives_unsubscribing() -> None:
    heard: list[Any] = []

    def of(kind: str) -> list[Any]:
        return [message for message in list(heard) if message.event_type == kind]

    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        client = official(stand_in, "T.AAPL", "Q.AAPL", "A.AAPL")
        with running(client, heard):
            stand_in.wait_until_subscribed("T.AAPL", "Q.AAPL", "A.AAPL")
            stand_in.send_exactly(500)
            wait_for(lambda: len(of("T")) + len(of("Q")) == 500)
            wait_for(lambda: of("A"))
            (account,) = stand_in.account().connections
            assert [trade.id for trade in of("T")] == [event["i"] for event in account.events_sent("T")]
            trade, quote, bar = of("T")[0], of("Q")[0], of("A")[0]
            assert (trade.symbol, quote.symbol, bar.symbol) == ("AAPL",) * 3
            assert float(trade.fractional_shares) > 0
            assert float(bar.fractional_volume) >= bar.volume > 0

            client.unsubscribe("Q.AAPL")
            client.subscribe("T.MSFT")
            stand_in.wait_until_subscribed("T.MSFT")
            wait_for(lambda: "Q.AAPL" not in stand_in.account().connections[0].subscribed)
            heard.clear()
            stand_in.send_exactly(200)
            wait_for(lambda: len(of("T")) == 200)
            assert not of("Q")
        assert len(stand_in.account().connections) == 1


@pytest.mark.parametrize(
    ("market", "channel", "attributes"),
    [("crypto", "XT.BTC-USD", ("pair", "price", "size")), ("forex", "C.EUR/USD", ("pair", "bid_price", "ask_price"))],
)
def test_other_markets(market: str, channel: str, attributes: tuple[str, ...]) -> None:
    heard: list[Any] = []
    with StandIn(StandInSettings(rate=0)) as stand_in, running(official(stand_in, channel, market=market), heard):
        stand_in.wait_until_subscribed(channel)
        stand_in.send_exactly(20)
        wait_for(lambda: len(heard) == 20)
        assert all(getattr(message, name) is not None for message in heard for name in attributes)


def test_a_bad_key_is_an_error() -> None:
    with StandIn(StandInSettings(rate=0, keys=frozenset({"good"}))) as stand_in:
        client = official(stand_in, "T.AAPL", key="bad")
        with pytest.raises(AuthError, match="authentication failed"):
            client.run(lambda _: None)


def test_comes_back_after_a_drop() -> None:
    heard: list[Any] = []
    with StandIn(StandInSettings(rate=200)) as stand_in, running(official(stand_in, "T.AAPL"), heard):
        wait_for(lambda: len(heard) > 20)
        stand_in.drop_connections()
        wait_for(lambda: len(stand_in.account().connections) == 2)
        stand_in.wait_until_subscribed("T.AAPL")
        before = len(heard)
        wait_for(lambda: len(heard) > before + 20)
