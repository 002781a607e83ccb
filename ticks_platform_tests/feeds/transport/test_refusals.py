"""What ends a feed and what does not: words of providers, firewalls and balancers, over real sockets."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable

import pytest

from ticks_platform.feeds.connector import HandshakeAnswer
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, ProviderError, Refused
from ticks_platform.feeds.transport import reconnect, subscriptions
from ticks_platform.feeds.transport.state import State
from ticks_platform.retry_after import LONGEST, retry_after
from ticks_platform_tests.support.feeds import (
    CLOSE,
    KEY,
    TEXT,
    Peer,
    PeerServer,
    Running,
    polygon,
    price,
    twelve_data,
    wait_until,
)

WRONG_KEY = b'{"code":401,"status":"error","message":"**apikey** parameter is incorrect or not specified."}'
PAGE = b"<!DOCTYPE html><html><title>403 Forbidden</title></html>"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    monkeypatch.setattr(reconnect, "REJECTED_PAUSE", 0.02)


def stream(peer: Peer) -> None:
    """Accept a client of Twelve Data, and send a price."""
    peer.upgrade()
    symbols = json.loads(peer.receive()[1])["params"]["symbols"].split(",")
    success = [{"symbol": symbol} for symbol in symbols]
    peer.send(json.dumps({"event": "subscribe-status", "status": "ok", "success": success}).encode())
    peer.send(price())


def one_after_another(*serve: Callable[[Peer], None]) -> PeerServer:
    """A server whose connections are served so; the last one, all others."""

    def serve_one(peer: Peer) -> None:
        serve[min(server.accepted, len(serve)) - 1](peer)

    server = PeerServer(serve_one)
    return server


def refuse(status: str, body: bytes, *headers: str) -> Callable[[Peer], None]:
    return lambda peer: peer.answer(status, body, *headers)


@pytest.mark.parametrize("provider", ["twelve_data", "polygon"])
@pytest.mark.parametrize(
    "answer",
    [
        refuse("403 Forbidden", PAGE),
        refuse("403 Forbidden", b""),
        refuse("401 Unauthorized", PAGE),
        refuse("407 Proxy Authentication Required", b""),
        refuse("451 Unavailable For Legal Reasons", b"blocked"),
    ],
    ids=["403 page", "403", "401 page", "407", "451"],
)
def test_a_firewall_ends_no_feed(provider: str, answer: Callable[[Peer], None]) -> None:
    connect = twelve_data if provider == "twelve_data" else polygon
    with PeerServer(answer) as server, Running(connect(server.url)) as running:
        running.wait_for(State.BACKING_OFF, times=4)
        assert running.failure is None
        assert State.REFUSED not in running.states


def test_one_refusal_among_good_answers_ends_no_feed() -> None:
    refusal = refuse("401 Unauthorized", WRONG_KEY)
    with one_after_another(refusal, stream, refusal, stream, refusal, stream) as server:
        with Running(twelve_data(server.url), symbols=["AAPL"]) as running:
            running.wait_for(State.STREAMING, times=3)
            assert [type(notice) for notice in running.notices].count(Refused) == 3
        assert running.failure is None


def test_two_refusals_with_an_outage_in_between_end_it() -> None:
    refusal, outage = refuse("401 Unauthorized", WRONG_KEY), refuse("503 Service Unavailable", b"")
    with one_after_another(refusal, outage, refusal) as server, Running(twelve_data(server.url)) as running:
        assert isinstance(running.wait_for_end(), FeedRefusedError)
        assert server.accepted == 3


@pytest.mark.parametrize(
    "message",
    [
        "Too many connections for this API key, please slow down",
        "You are unauthorized to access XHKG data.",
        "Your API key has run out of WebSocket credits",
        "Forbidden",
    ],
)
@pytest.mark.parametrize("code", [None, 401, 403])
def test_complaints_in_mid_stream_end_nothing(message: str, code: int | None) -> None:
    complaint = {"status": "error", "message": message} | ({} if code is None else {"code": code})

    def serve(peer: Peer) -> None:
        stream(peer)
        peer.send(json.dumps(complaint).encode())
        peer.send(price(price=2.0))
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url), symbols=["AAPL"]) as running:
        assert running.wait_for_notice(ProviderError) == ProviderError(message)
        wait_until(lambda: price(price=2.0) in running.received(1), "it goes on")
        assert State.BACKING_OFF not in running.states


def test_a_key_that_is_refused_in_mid_stream_is_asked_at_the_handshake() -> None:
    """A user's own connector may return `Refused` at any time."""

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(b'[{"ev":"status","status":"auth_success"}]')
        peer.receive()
        peer.send(b'[{"ev":"status","status":"auth_failed","message":"key revoked"}]')
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(polygon(server.url)) as running:
        # It is accepted each time: that is no wrong key.
        running.wait_for(State.SUBSCRIBING, times=4)
        assert running.failure is None


# Retry-After.


@pytest.mark.parametrize(
    ("status", "after", "least"),
    [
        ("429 Too Many Requests", "0.3", 0.3),
        ("503 Service Unavailable", "0.3", 0.3),
        ("403 Forbidden", "0.3", 0.3),
        # By the server's own clock.
        pytest.param("503 Service Unavailable", email.utils.formatdate(1_700_000_001, usegmt=True), 1.0, id="date"),
    ],
)
def test_retry_after_is_obeyed(status: str, after: str, least: float) -> None:
    answer = refuse(status, b"", f"Retry-After: {after}", f"Date: {email.utils.formatdate(1_700_000_000, usegmt=True)}")
    with one_after_another(answer, stream) as server, Running(twelve_data(server.url), symbols=["AAPL"]) as running:
        away = running.wait_for(State.BACKING_OFF)
        assert f"HTTP {status[:3]}" in away.detail
        again = running.wait_for(State.CONNECTING, times=2)
        assert (again.at - away.at) / 1e9 >= least
        running.wait_for(State.STREAMING)


def test_who_asks_to_come_again_refuses_no_key() -> None:
    """Words like those of a wrong key: it is asked after the pause, and the feed goes on."""
    answer = refuse("401 Unauthorized", WRONG_KEY, "Retry-After: 0.5")
    with one_after_another(answer, answer, stream) as server:
        with Running(twelve_data(server.url), symbols=["AAPL"]) as running:
            away = [running.wait_for(State.BACKING_OFF, times=times) for times in (1, 2)]
            again = [running.wait_for(State.CONNECTING, times=times) for times in (2, 3)]
            running.wait_for(State.STREAMING)
        assert running.failure is None
        assert all((then.at - before.at) / 1e9 >= 0.5 for before, then in zip(away, again, strict=True))


def test_a_pause_can_be_stopped() -> None:
    with PeerServer(refuse("429 Too Many Requests", b"", "Retry-After: 60")) as server:
        with Running(twelve_data(server.url)) as running:
            assert "retrying in 60." in running.wait_for(State.BACKING_OFF).detail
            assert running.stop() < 1.0
        assert server.accepted == 1


def test_forms_of_retry_after() -> None:
    assert retry_after({"retry-after": " 60 "}) == 60
    assert retry_after({"retry-after": "0"}) == retry_after({"retry-after": "-5"}) == 0
    assert retry_after({"retry-after": "999999999"}) == LONGEST
    soon = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < (retry_after({"retry-after": soon}) or 0) <= 100
    assert retry_after({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}) == 0
    for nothing in ("", "soon", "nan", "Fri, 99 Foo", "1e", "٣٠ s"):
        assert retry_after({"retry-after": nothing}) is None
    assert retry_after({}) is None
    assert HandshakeAnswer(429, b"").headers == {}


# A plan's limit of subscriptions.


def test_a_limit_of_subscriptions_is_the_reason_at_each_symbol_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "REFUSAL_GRACE", 0.2)
    names = [f"S{number}" for number in range(1_200)]
    limit, reason = 1_050, "Subscription limit reached (1050). Upgrade your plan."

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(b'[{"ev":"status","status":"auth_success"}]')
        held = 0
        while True:
            opcode, payload = peer.receive()
            if opcode == CLOSE:
                return
            if opcode != TEXT:
                continue
            message = json.loads(payload)
            channels = message["params"].split(",")
            if held + len(channels) > limit:
                peer.send(json.dumps([{"ev": "status", "status": "limit_reached", "message": reason}]).encode())
                continue
            held += len(channels)
            done = [{"ev": "status", "status": "success", "message": f"subscribed to: {name}"} for name in channels]
            peer.send(json.dumps(done).encode())

    with PeerServer(serve) as server, Running(polygon(server.url), symbols=names) as running:
        failed = running.wait_for_notice(ChannelsFailed)
        assert failed.reasons == {f"T.{name}": reason for name in names[limit:]}
        streamed = {name for each in running.notices if isinstance(each, Acknowledged) for name in each.channels}
        assert streamed == {f"T.{name}" for name in names[:limit]}
        assert State.BACKING_OFF not in running.states
        assert KEY not in running.history()
