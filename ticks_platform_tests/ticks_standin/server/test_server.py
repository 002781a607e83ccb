"""The server over real sockets: who gets in, what they get, and the account of it."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import websocket

from ticks_platform_tests.support.timing import between
from ticks_standin import StandIn, StandInError, StandInSettings

Connect = Callable[..., Any]


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "record": True, **settings}))


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org", ""])
def test_other_hosts_than_loopback_are_refused(host: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="loopback only"):
        StandInSettings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_served(connect: Connect, host: str) -> None:
    with on_command(host=host) as stand_in:
        assert connect(stand_in.url()).act("heartbeat")["status"] == "ok"


@pytest.mark.parametrize("key", [None, "", "bad"])
@pytest.mark.parametrize(("mode", "status"), [("401", 401), ("200+body", 200), ("403", 403), ("400", 400)])
def test_wrong_key(connect: Connect, mode: Any, status: int, key: str | None) -> None:
    with on_command(keys=["good"], bad_key_mode=mode) as stand_in:
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            connect(stand_in.url(key=key))
        assert refused.value.status_code == status
        body = json.loads(refused.value.resp_body)
        assert body["code"] == 401
        assert body["status"] == "error"
        assert "apikey" in body["message"]
        assert stand_in.account().connections == []


def test_right_key(connect: Connect) -> None:
    with on_command(keys=["good"]) as stand_in:
        assert connect(stand_in.url(key="good")).act("heartbeat")["status"] == "ok"
        assert connect(stand_in.url(key="demo")).act("heartbeat")["status"] == "ok"
        in_header = connect(stand_in.url(key=None), header=["X-TD-APIKEY: good"])
        assert in_header.act("heartbeat")["status"] == "ok"


def test_http() -> None:
    with on_command() as stand_in:
        asked = f"{stand_in.http_url}/technical_indicators?format=JSON&apikey=demo&source=python"
        assert get(asked) == {"data": {}, "status": "ok"}
        health = get(f"{stand_in.http_url}/health")
        assert health["status"] == "ok"
        assert health["account"]["price_events"] == 0
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{stand_in.http_url}/nothing")


def test_account_in_health_counts_but_shows_no_frames(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.send_exactly(5)
        (connection,) = get(f"{stand_in.http_url}/health")["account"]["connections"]
        assert connection["symbols"] == {"AAPL": 5}
        assert connection["sent"] == []


def test_nothing_is_sent_before_the_client_acts(connect: Connect) -> None:
    with StandIn(StandInSettings(rate=1000)) as stand_in:
        client = connect(stand_in.url())
        client.socket.settimeout(0.2)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.hear()
        assert stand_in.account().frames == 0


def test_pings_are_answered(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.socket.ping("ping")
        assert client.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"ping")


def test_each_subscriber_gets_its_symbols_only(connect: Connect) -> None:
    with on_command() as stand_in:
        one, other = connect(stand_in.url()), connect(stand_in.url())
        one.act("subscribe", "AAPL,EUR/USD")
        other.act("subscribe", "EUR/USD,BTC/USD")
        stand_in.send_exactly(600)
        first, second = stand_in.account().connections
        for client, account, symbols in (
            (one, first, {"AAPL", "EUR/USD"}),
            (other, second, {"EUR/USD", "BTC/USD"}),
        ):
            events = client.hear_prices(account.price_events)
            assert Counter(event["symbol"] for event in events) == account.symbols
            assert set(account.symbols) == symbols
        assert first.symbols["EUR/USD"] == second.symbols["EUR/USD"]
        total = stand_in.account()
        assert total.ticks == 600
        assert total.price_events == first.price_events + second.price_events == 600 + first.symbols["EUR/USD"]
        assert total.frames == total.price_events + 2


def test_what_is_sent_is_what_is_received(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL,BTC/USD,EUR/USD,SPX")
        client.act("heartbeat")
        stand_in.send_exactly(2_500)
        prices = client.hear_prices(2_500)
        client.act("reset")
        (account,) = stand_in.account().connections
        assert client.heard == account.sent
        assert account.frames == len(account.sent) == 2_503
        assert account.price_events_sent() == prices


def test_exactly_as_many_ticks_as_asked_for(connect: Connect) -> None:
    with on_command(accept_any_symbol=True) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", ",".join(f"S{number:04d}" for number in range(1_500)))
        for count in (1, 0, 499, 501, 3_000):
            stand_in.send_exactly(count)
            client.hear_prices(count)
        assert client.act("heartbeat")["event"] == "heartbeat"
        assert stand_in.account().ticks == 4_001
        assert stand_in.account().price_events == 4_001


def test_a_reader_slower_than_the_market_still_gets_every_tick(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        with pytest.raises(StandInError, match="of 100000 ticks sent"):
            stand_in.send_exactly(100_000, timeout_s=0.5)
        (account,) = stand_in.account().connections
        assert 1_000 < account.price_events < 100_000
        client.hear_prices(account.price_events)
        assert client.act("heartbeat")["event"] == "heartbeat"
        (account,) = stand_in.account().connections
        assert client.heard == account.sent


def test_a_client_that_leaves_too_much_unread_is_dropped(connect: Connect) -> None:
    with StandIn(StandInSettings(rate=50_000, slow_consumer_bytes=100_000, record=True)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        deadline = time.monotonic() + 60
        while (account := stand_in.account().connections[0]).ending is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert account.ending == "aborted"
        assert client.hear_end() is None
        assert client.heard == account.sent[: len(client.heard)]


def test_sending_to_nobody_says_so() -> None:
    with on_command() as stand_in, pytest.raises(StandInError, match="0 of 5 ticks"):
        stand_in.send_exactly(5, timeout_s=0.1)


def test_same_seed_gives_the_same_prices(connect: Connect) -> None:
    runs = []
    for order, seed in (("AAPL,BTC/USD", 3), ("BTC/USD,AAPL", 3), ("AAPL,BTC/USD", 4)):
        with on_command(seed=seed) as stand_in:
            client = connect(stand_in.url())
            client.act("subscribe", order)
            stand_in.send_exactly(200)
            runs.append([(event["symbol"], event["price"]) for event in client.hear_prices(200)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize(("rate", "count"), [(50, 50), (5_000, 5_000)])
def test_rate_is_held(connect: Connect, rate: int, count: int) -> None:
    with StandIn(StandInSettings(rate=rate)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL,MSFT,EUR/USD")

        def ratio() -> float:
            start, begin = time.monotonic(), time.time()
            events = client.hear_prices(count)
            took = time.monotonic() - start
            now = time.time()
            assert all(isinstance(event["timestamp"], int) for event in events)
            # In whole seconds; what was sent before the last try ended may have been read by this one.
            assert all(begin - 3 <= event["timestamp"] <= now for event in events)
            return took / (count / rate)

        between(0.9, 1.5, ratio)


def test_unsubscribed_symbols_stop(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL,MSFT")
        client.act("unsubscribe", "AAPL")
        stand_in.send_exactly(50)
        assert {event["symbol"] for event in client.hear_prices(50)} == {"MSFT"}


def test_one_connection_too_many_drops_the_oldest_of_its_key(connect: Connect) -> None:
    with on_command() as stand_in:
        stranger = connect(stand_in.url(key="other"))
        clients = [connect(stand_in.url()) for _ in range(4)]
        assert clients[0].hear_end() is None
        for client in (*clients[1:], stranger):
            assert client.act("heartbeat")["status"] == "ok"
        endings = [connection.ending for connection in stand_in.account().connections]
        assert endings == [None, "aborted", None, None, None]


def test_idle_connections_are_dropped(connect: Connect) -> None:
    with on_command(idle_timeout_s=1.0) as stand_in:
        silent, lively = connect(stand_in.url()), connect(stand_in.url())
        start = time.monotonic()
        while stand_in.account().connections[0].ending is None:
            with contextlib.suppress(OSError):
                silent.socket.ping()
            assert lively.act("heartbeat")["status"] == "ok"
            assert time.monotonic() - start < 60
            time.sleep(0.1)
        assert time.monotonic() - start > 1.0
        assert silent.hear_end() is None
        assert lively.act("heartbeat")["status"] == "ok"
        assert [connection.ending for connection in stand_in.account().connections] == ["aborted", None]


def test_too_many_events_are_answered_with_an_error(connect: Connect) -> None:
    with on_command(events_per_minute=3) as stand_in:
        client = connect(stand_in.url())
        answers = [client.act("heartbeat") for _ in range(4)]
        assert [answer["status"] for answer in answers] == ["ok", "ok", "ok", "error"]


def test_messages_larger_than_allowed_end_the_connection(connect: Connect) -> None:
    with on_command() as stand_in:
        client = connect(stand_in.url())
        assert client.say("x" * 999_999)["status"] == "error"
        client.socket.send("x" * 1_000_001)
        assert client.hear_end() == 1009


def test_a_port_that_is_taken(connect: Connect) -> None:
    with on_command() as stand_in:
        port = int(stand_in.http_url.rpartition(":")[2])
        with pytest.raises(StandInError, match=f"cannot listen on port {port}"), on_command(port=port):
            pass


def test_account_tells_how_connections_ended(connect: Connect) -> None:
    with on_command() as stand_in:
        polite, vanishing = connect(stand_in.url()), connect(stand_in.url())
        polite.act("subscribe", "AAPL")
        vanishing.act("subscribe", "AAPL")
        polite.socket.close()
        vanishing.socket.sock.close()
        deadline = time.monotonic() + 60
        while None in (endings := [connection.ending for connection in stand_in.account().connections]):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert endings == ["closed", "lost"]
        assert stand_in.account().frames == 2
