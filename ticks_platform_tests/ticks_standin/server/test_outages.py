"""Connections that die, hang, trickle or are refused on command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import websocket

from ticks_standin import StandIn, StandInError, StandInSettings

Connect = Callable[..., Any]


def flowing(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 2_000, "record": True, **settings}))


def says_nothing(client: Any, seconds: float = 0.3) -> None:
    """Nothing comes once what was on its way has come."""
    client.socket.settimeout(seconds)
    read = partial(client.socket.recv_data, control_frame=True)
    with pytest.raises(websocket.WebSocketTimeoutException):
        list(iter(read, None))
    client.socket.settimeout(60)


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_one_connection_by_number(connect: Connect) -> None:
    with flowing() as stand_in:
        clients = [connect(stand_in.url()) for _ in range(3)]
        for client in clients:
            client.act("subscribe", "AAPL")
        assert stand_in.drop_connections(connection=1) == 1
        assert clients[0].hear_end() is None
        closing = threading.Thread(target=stand_in.close_connections, args=(1011,), kwargs={"connection": 2})
        closing.start()
        assert clients[1].hear_end() == 1011
        clients[1].socket.shutdown()
        closing.join()
        clients[2].hear_prices(50)
        with pytest.raises(StandInError, match="no open connection 1"):
            stand_in.drop_connections(connection=1)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011])
def test_close_codes_of_polygon(connect_polygon: Connect, code: int) -> None:
    with flowing() as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        closing = threading.Thread(target=stand_in.close_connections, args=(code,))
        closing.start()
        assert client.hear_end() == code
        client.socket.shutdown()
        closing.join()


def test_frozen_connections_say_and_hear_nothing(connect: Connect, connect_polygon: Connect) -> None:
    with flowing() as stand_in:
        hanging, fine = connect(stand_in.url()), connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        hanging.act("subscribe", "AAPL")
        stand_in.freeze(connection=1)
        hanging.socket.ping("there?")
        hanging.socket.send('{"action":"heartbeat"}')
        says_nothing(hanging)
        sent = stand_in.account().connections[0]
        assert sent.ending is None
        fine.hear_events()
        assert stand_in.account().connections[0].frames == sent.frames
        stand_in.thaw(connection=1)
        opcode, payload = hanging.socket.recv_data(control_frame=True)
        while opcode != websocket.ABNF.OPCODE_PONG:
            opcode, payload = hanging.socket.recv_data(control_frame=True)
        assert payload == b"there?"
        assert hanging.hear() == {"event": "heartbeat", "status": "ok"}
        hanging.hear_prices(20)


def test_a_frozen_connection_holds_nobody_up(connect: Connect) -> None:
    with flowing(rate=0) as stand_in:
        hanging, fine = connect(stand_in.url()), connect(stand_in.url())
        for client in (hanging, fine):
            client.act("subscribe", "AAPL")
        stand_in.freeze(connection=1)
        stand_in.send_exactly(1_000)
        fine.hear_prices(1_000)
        start = time.monotonic()
        stand_in.close_connections(1001, connection=1)
        assert time.monotonic() - start < 5
        assert stand_in.account().connections[0].ending is not None


def test_accepted_and_never_upgraded(connect: Connect) -> None:
    with flowing() as stand_in:
        fine = connect(stand_in.url())
        stand_in.accept_silently("upgrade")
        with pytest.raises((websocket.WebSocketTimeoutException, TimeoutError)):
            websocket.create_connection(stand_in.url(), timeout=0.3)
        assert fine.act("heartbeat")["status"] == "ok"
        stand_in.accept_silently("never")
        assert connect(stand_in.url()).act("heartbeat")["status"] == "ok"
        assert len(stand_in.account().connections) == 2


def test_upgraded_and_never_greeted(connect: Connect, connect_polygon: Connect) -> None:
    with flowing() as stand_in:
        stand_in.accept_silently("greeting")
        mute = [connect(stand_in.url()), connect_polygon(stand_in.url("polygon"))]
        mute[0].socket.send('{"action":"subscribe","params":{"symbols":"AAPL"}}')
        mute[1].send("auth", "demo")
        mute[1].send("subscribe", "T.AAPL")
        for client in mute:
            client.socket.ping("x")
            assert client.socket.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG
            says_nothing(client, 0.2)
        stand_in.accept_silently("never")
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        assert stand_in.account().connections[0].frames == 0


def test_mute_towards_one_connection(connect: Connect) -> None:
    with flowing() as stand_in:
        quiet, fine = connect(stand_in.url()), connect(stand_in.url())
        for client in (quiet, fine):
            client.act("subscribe", "AAPL")
        stand_in.go_mute(connection=1)
        says_nothing(quiet)
        assert quiet.act("heartbeat")["status"] == "ok"
        fine.hear_prices(200)
        stand_in.unmute(connection=1)
        quiet.hear_prices(10)


def test_silence_of_some_symbols(connect: Connect, connect_polygon: Connect) -> None:
    with flowing(rate=0) as stand_in:
        prices = connect(stand_in.url())
        prices.act("subscribe", "AAPL,MSFT")
        trades = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", "Q.AAPL", "T.KO")
        stand_in.silence("AAPL")
        stand_in.send_exactly(300)
        assert stand_in.account().events.keys() == {"price.MSFT", "T.KO"}
        stand_in.unsilence()
        stand_in.silence("Q.AAPL", connection=2)
        stand_in.send_exactly(400)
        assert stand_in.account().events.keys() == {"price.MSFT", "price.AAPL", "T.KO", "T.AAPL"}
        stand_in.unsilence()
        stand_in.send_exactly(200)
        assert "Q.AAPL" in stand_in.account().events
        trades.hear_events()


def test_bytes_trickle(connect: Connect) -> None:
    with flowing(rate=0) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.drip(2_000)
        stand_in.send_exactly(5)
        client.socket.ping("in between")
        start = time.monotonic()
        heard = [client.socket.recv_data(control_frame=True) for _ in range(6)]
        assert 0.25 < time.monotonic() - start < 2
        assert (websocket.ABNF.OPCODE_PONG, b"in between") in heard
        (account,) = stand_in.account().connections
        assert [payload for opcode, payload in heard if opcode == 1] == account.sent[1:]
        stand_in.send_exactly(1_000)
        stand_in.drip(None)
        client.hear_prices(1_000)


def test_two_quick_drops(connect: Connect) -> None:
    with flowing() as stand_in:
        first = connect(stand_in.url())
        first.act("subscribe", "AAPL")
        assert stand_in.drop_twice() == 1
        assert first.hear_end() is None
        second = connect(stand_in.url())
        assert second.act("subscribe", "AAPL")["status"] == "ok"
        assert second.hear_end() is None
        third = connect(stand_in.url())
        third.act("subscribe", "AAPL")
        third.hear_prices(10)


def test_drop_as_soon_as_connected(connect_polygon: Connect) -> None:
    with flowing() as stand_in:
        stand_in.drop_next(2, "connected")
        stand_in.drop_next(1, "subscribed", code=1008)
        for _ in range(2):
            assert connect_polygon(stand_in.url("polygon")).hear_end() is None
        assert connect_polygon(stand_in.url("polygon")).enter("T.AAPL").hear_end() == 1008
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL").hear_events()


def test_slow_consumers_are_killed(connect: Connect) -> None:
    with flowing(rate=0) as stand_in:
        slow, fine = connect(stand_in.url()), connect(stand_in.url())
        slow.act("subscribe", "AAPL")
        fine.act("heartbeat")
        killed, deadline = 0, time.monotonic() + 30
        while not killed:
            assert time.monotonic() < deadline, "it has taken in all that was sent"
            with pytest.raises(StandInError, match="ticks sent"):
                stand_in.send_exactly(1_000_000, timeout_s=0.5)
            killed = stand_in.kill_slow_consumers(1_000)
        assert killed == 1
        assert slow.hear_end() is None
        assert fine.act("heartbeat")["status"] == "ok"


def test_lower_limit_ends_the_oldest(connect: Connect) -> None:
    with flowing() as stand_in:
        clients = [connect(stand_in.url()) for _ in range(3)]
        for client in clients:
            client.act("heartbeat")
        assert stand_in.limit_connections(1) == 2
        assert [client.hear_end() for client in clients[:2]] == [None, None]
        assert clients[2].act("heartbeat")["status"] == "ok"


def test_revoked_keys(connect: Connect, connect_polygon: Connect) -> None:
    with flowing(rate=0) as stand_in:
        one = connect(stand_in.url(key="one"))
        other = connect_polygon(stand_in.url("polygon")).enter("T.AAPL", key="other")
        stand_in.revoke_keys("one")
        with pytest.raises(websocket.WebSocketBadStatusException):
            connect(stand_in.url(key="one"))
        assert one.act("heartbeat")["status"] == "ok", "who is in stays in"
        stand_in.revoke_keys(drop=True)
        assert one.hear_end() is None
        assert other.hear_end() is None
        refused = connect_polygon(stand_in.url("polygon"))
        refused.send("auth", "demo")
        assert [refused.hear_statuses()[0][0] for _ in range(2)] == ["connected", "auth_failed"]
        stand_in.restore_keys()
        connect_polygon(stand_in.url("polygon")).enter("T.AAPL", key="other")


def test_gone_for_a_while(connect: Connect) -> None:
    with flowing() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        start = time.monotonic()
        stand_in.go_away(1.5)
        assert client.hear_end() is None

        def is_back() -> bool:
            try:
                return connect(stand_in.url()).act("heartbeat")["status"] == "ok"
            except ConnectionRefusedError:
                return False

        assert not is_back()
        wait_for(is_back)
        assert 1.4 < time.monotonic() - start < 4
