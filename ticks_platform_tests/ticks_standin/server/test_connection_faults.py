"""Faults on command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from ticks_standin import RawFrame, StandIn, StandInError, StandInSettings

Connect = Callable[..., Any]


def flowing() -> StandIn:
    return StandIn(StandInSettings(rate=2_000, record=True))


def test_drop_connections(connect: Connect) -> None:
    with flowing() as stand_in:
        clients = [connect(stand_in.url()) for _ in range(2)]
        for client in clients:
            client.act("subscribe", "AAPL,MSFT")
            client.hear_prices(100)
        assert stand_in.drop_connections() == 2
        for client, account in zip(clients, stand_in.account().connections, strict=True):
            assert client.hear_end() is None
            assert account.ending == "aborted"
            assert client.heard == account.sent[: len(client.heard)]
        sent = stand_in.account().price_events
        assert connect(stand_in.url()).act("subscribe", "AAPL")["status"] == "ok"
        assert stand_in.account().price_events >= sent


@pytest.mark.parametrize("code", [1000, 1008])
def test_close_connections(connect: Connect, code: int) -> None:
    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.send_exactly(1_000)
        closing = threading.Thread(target=stand_in.close_connections, args=(code, "because"))
        closing.start()
        assert client.hear_end() == code
        client.socket.shutdown()
        closing.join()
        (account,) = stand_in.account().connections
        assert account.ending == "closed"
        assert client.heard == account.sent


def test_mute(connect: Connect) -> None:
    with flowing() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        client.hear_prices(10)
        stand_in.go_mute()
        client.act("heartbeat")
        assert client.act("heartbeat") == {"event": "heartbeat", "status": "ok"}
        client.socket.ping("still there")
        assert client.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"still there")
        client.socket.settimeout(0.2)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.hear()
        client.socket.settimeout(60)
        stand_in.unmute()
        start = time.monotonic()
        client.hear_prices(500)
        assert time.monotonic() - start > 0.2, "what was not sent while mute is not made up for"


def test_pause_accepting(connect: Connect) -> None:
    with flowing() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.pause_accepting()
        with pytest.raises(ConnectionRefusedError):
            connect(stand_in.url())
        client.hear_prices(100)
        stand_in.resume_accepting()
        stand_in.resume_accepting()
        assert connect(stand_in.url()).act("heartbeat")["status"] == "ok"
        assert client.act("heartbeat")["status"] == "ok"


def test_gone_for_a_while_altogether(connect: Connect) -> None:
    with flowing() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.pause_accepting()
        stand_in.drop_connections()
        assert client.hear_end() is None
        with pytest.raises(ConnectionRefusedError):
            connect(stand_in.url())
        stand_in.resume_accepting()
        again = connect(stand_in.url())
        again.act("subscribe", "AAPL")
        again.hear_prices(10)


def test_inject(connect: Connect) -> None:
    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        subscriber, idler = connect(stand_in.url()), connect(stand_in.url())
        subscriber.act("subscribe", "AAPL")
        forged = '{"event":"price","symbol":"AAPL","timestamp":1,"price":1e308}'
        long = "x" * 70_000
        assert stand_in.inject(forged, "not json", b"\x00\xff", RawFrame(b"\xff", text=True), long) == 1
        received = [subscriber.socket.recv_data() for _ in range(5)]
        assert received == [(1, forged.encode()), (1, b"not json"), (2, b"\x00\xff"), (1, b"\xff"), (1, long.encode())]
        first, second = stand_in.account().connections
        assert (first.frames, first.price_events, second.frames) == (6, 0, 0)
        assert [event["price"] for event in first.price_events_sent()] == [1e308]
        assert idler.act("heartbeat")["event"] == "heartbeat"


def test_wait_until_subscribed(connect: Connect) -> None:
    with StandIn(StandInSettings(rate=0)) as stand_in:
        client = connect(stand_in.url())
        client.socket.send('{"action":"subscribe","params":{"symbols":"AAPL,MSFT"}}')
        stand_in.wait_until_subscribed("MSFT", "AAPL")
        with pytest.raises(StandInError, match=r"nobody subscribed to TSLA within 0\.05 s"):
            stand_in.wait_until_subscribed("AAPL", "TSLA", timeout_s=0.05)


def test_exact_ticks_survive_a_drop_in_between(connect: Connect) -> None:
    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        sending = threading.Thread(target=stand_in.send_exactly, args=(50_000,))
        sending.start()
        client.hear_prices(1_000)
        stand_in.drop_connections()
        client.hear_end()
        again = connect(stand_in.url())
        again.act("subscribe", "AAPL")
        first = stand_in.account().connections[0]
        again.hear_prices(50_000 - first.price_events)
        sending.join()
        assert stand_in.account().price_events == 50_000
        assert client.heard == first.sent[: len(client.heard)]


def test_no_control_outside_of_the_block() -> None:
    stand_in = StandIn()
    with pytest.raises(StandInError, match="not running"):
        stand_in.account()
    with pytest.raises(StandInError, match="not been started"):
        stand_in.url()
    for _ in range(2):
        with stand_in:
            assert stand_in.account().connections == []
    with pytest.raises(StandInError, match="not running"):
        stand_in.drop_connections()
