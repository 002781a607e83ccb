"""Heartbeats and pings, detecting a dead peer, and stopping at any moment."""

from __future__ import annotations

import math
import threading
import time

import pytest

from ticks_platform.feeds.transport import reconnect, session
from ticks_platform.feeds.transport.state import State
from ticks_platform.feeds.twelve_data.connector import TwelveDataConversation
from ticks_platform.ingestion.run import RECEIVER_TIMEOUT
from ticks_platform_tests.support.feeds import (
    PING,
    PONG,
    TEXT,
    TIMEOUT,
    Peer,
    PeerServer,
    RecordedBackoff,
    Running,
    price,
    twelve_data,
    wait_until,
)
from ticks_platform_tests.support.timing import within
from ticks_standin import StandIn, StandInSettings


def silent(peer: Peer) -> None:
    """Read everything and send nothing, not even a pong."""
    peer.upgrade()
    while peer.socket.recv(65_536):
        pass


def seconds_between(running: Running, begin: State, end: State) -> float:
    return (running.wait_for(end).at - running.wait_for(begin).at) / 1e9


def test_heartbeats_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwelveDataConversation, "heartbeat_interval", 0.2)
    with StandIn(StandInSettings(rate=0, record=True, idle_timeout_s=2.0)) as stand_in:
        with Running(twelve_data(stand_in.url(key=None))) as running:
            wait_until(lambda: running.received(1).count(b'{"event":"heartbeat","status":"ok"}') >= 12, "heartbeats")
            (account,) = stand_in.account().connections
            assert account.ending is None
        assert State.BACKING_OFF not in running.states


def test_heartbeats_while_data_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    # No read times out then, but timers must be checked all the same.
    monkeypatch.setattr(TwelveDataConversation, "heartbeat_interval", 0.1)
    with StandIn(StandInSettings(rate=3_000, idle_timeout_s=1.5)) as stand_in:
        with Running(twelve_data(stand_in.url(key=None))) as running:
            wait_until(lambda: running.received(1).count(b'{"event":"heartbeat","status":"ok"}') >= 20, "heartbeats")
        assert State.BACKING_OFF not in running.states


def test_without_heartbeats_it_is_dropped_and_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwelveDataConversation, "heartbeat_interval", None)
    with (
        StandIn(StandInSettings(rate=200, idle_timeout_s=0.5)) as stand_in,
        Running(twelve_data(stand_in.url(key=None))) as running,
    ):
        running.wait_for(State.STREAMING, times=2)
        first, *_ = stand_in.account().connections
        assert first.ending == "aborted"
        assert "connection lost" in running.wait_for(State.BACKING_OFF).detail


def test_no_heartbeats_if_none_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwelveDataConversation, "heartbeat_interval", None)
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    heard: list[tuple[int, bytes]] = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        while True:
            heard.append(peer.receive())
            peer.send(heard[-1][1], PONG)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(heard) >= 6, "pings")
        assert [opcode for opcode, _ in heard[:6]] == [TEXT, *[PING] * 5]
        running.stop()


def test_a_peer_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.3)
    monkeypatch.setattr(session, "PONG_TIMEOUT", 0.4)

    def silence() -> float:
        with PeerServer(silent) as server, Running(twelve_data(server.url)) as running:
            seconds = seconds_between(running, State.SUBSCRIBING, State.BACKING_OFF)
            assert seconds > 0.65
            assert "no answer to a ping for 0.4 s" in running.wait_for(State.BACKING_OFF).detail
            running.wait_for(State.BACKING_OFF, times=2)
        return seconds

    within(0.7 + 2 * session.POLL_INTERVAL + 0.3, silence)


def test_a_peer_that_falls_silent_after_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.2)
    monkeypatch.setattr(session, "PONG_TIMEOUT", 0.3)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        for _ in range(10):
            peer.send(price())
            time.sleep(0.05)
        while peer.socket.recv(65_536):
            pass

    def silence() -> float:
        with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
            away = running.wait_for(State.BACKING_OFF)
            # The peer itself may have been kept waiting, and have been silent in between.
            received = len(running.received(1))
            return (away.at - running.last_arrival(1)) / 1e9 if received == 10 else math.inf

    within(0.5 + 2 * session.POLL_INTERVAL + 0.3, silence)


def test_pongs_alone_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # A quiet market: nothing is traded, but the provider is up.
    monkeypatch.setattr(session, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(session, "PONG_TIMEOUT", 1.0)
    pings = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        while True:
            opcode, payload = peer.receive()
            if opcode == PING:
                pings.append(payload)
                peer.send(payload, PONG)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(pings) >= 15, "pings")
        assert running.states == [State.CONNECTING, State.SUBSCRIBING]


def test_data_alone_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy server may answer a ping late; its data shows that it is alive.
    monkeypatch.setattr(session, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(session, "PONG_TIMEOUT", 1.0)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        while True:
            peer.send(price())
            time.sleep(0.01)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) >= 150, "data")
        assert State.BACKING_OFF not in running.states


def test_a_callback_that_blocks_is_not_the_peers_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(session, "PONG_TIMEOUT", 0.5)

    def block(_: object) -> None:
        time.sleep(0.8)

    def serve(peer: Peer) -> None:
        peer.upgrade()
        for _ in range(3):
            peer.send(price())
        while True:
            opcode, payload = peer.receive()
            if opcode == PING:
                peer.send(payload, PONG)

    with PeerServer(serve) as server, Running(twelve_data(server.url), on_frame=block) as running:
        wait_until(lambda: len(running.frames) == 3, "data")
        wait_until(lambda: running.states == [State.CONNECTING, State.SUBSCRIBING, State.STREAMING], "streaming")
        running.stop()
        assert State.BACKING_OFF not in running.states


def test_stop_while_data_flows() -> None:
    with StandIn(StandInSettings(rate=2_000)) as stand_in, Running(twelve_data(stand_in.url(key=None))) as running:
        running.wait_for(State.STREAMING)
        assert running.stop() < RECEIVER_TIMEOUT
        assert running.states[-1] is State.CLOSED


def test_stop_while_the_peer_ignores_the_close_frame() -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        while True:
            peer.send(price())

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.STREAMING)
        assert running.stop() < RECEIVER_TIMEOUT


@pytest.mark.parametrize("part", [b"\x00\x01x", b"x"])
def test_stop_during_an_endless_message(part: bytes) -> None:
    # Endless fragments of a message, or endless bytes of one: no single read times out.
    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.send(price())
        peer.socket.sendall(b"\x01\x01x" if len(part) > 1 else b"\x81\x7f" + (1 << 40).to_bytes(8, "big"))
        while True:
            peer.socket.sendall(part)
            time.sleep(0.005)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.STREAMING)
        assert running.stop() < RECEIVER_TIMEOUT
        assert running.received(1) == [price()]


def test_stop_without_data() -> None:
    with PeerServer(silent) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.SUBSCRIBING)
        assert running.stop() < RECEIVER_TIMEOUT
        assert running.states[-1] is State.CLOSED


def test_stop_while_backing_off() -> None:
    def seconds() -> float:
        backoff = RecordedBackoff(base=1_000.0, cap=1_000.0)
        with Running(twelve_data("ws://127.0.0.1:1"), backoff=backoff) as running:
            running.wait_for(State.BACKING_OFF)
            assert backoff.delays[0] > 10.0
            found = running.stop()
            assert running.states == [State.CONNECTING, State.BACKING_OFF, State.CLOSED]
        return found

    within(0.5, seconds)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_stop_while_connecting(scheme: str) -> None:
    arrived = threading.Event()

    def serve(peer: Peer) -> None:
        arrived.set()
        while peer.socket.recv(65_536):
            pass

    with PeerServer(serve) as server, Running(twelve_data(server.url.replace("ws", scheme, 1))) as running:
        assert arrived.wait(TIMEOUT)
        assert running.stop() < RECEIVER_TIMEOUT
        assert running.states == [State.CONNECTING, State.CLOSED]
        assert running.failure is None


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching Protocols\r\nX: "])
def test_a_handshake_that_never_ends(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    # The second server sends a byte again and again, so that no single read times out.
    monkeypatch.setattr(reconnect, "CONNECT_TIMEOUT", 0.4)
    left = []

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(answer)
        try:
            while answer:
                peer.socket.sendall(b"x")
                time.sleep(0.02)
            peer.socket.recv(1)
        finally:
            left.append(peer)

    def seconds() -> float:
        left.clear()
        with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
            found = seconds_between(running, State.CONNECTING, State.BACKING_OFF)
            assert found > 0.3
            assert "cannot connect" in running.wait_for(State.BACKING_OFF).detail
            running.wait_for(State.BACKING_OFF, times=2)
            wait_until(lambda: len(left) >= 2, "no attempt stays behind")
            running.stop()
        return found

    within(1.0, seconds)
    wait_until(lambda: not any(thread.name == "connect" for thread in threading.enumerate()), "no thread stays behind")


def test_stop_before_it_begins() -> None:
    running = Running(twelve_data("ws://127.0.0.1:1"))
    running.connection.stop()
    with running:
        assert running.wait_for_end() is None
        assert running.states == [State.CLOSED]


def test_stop_from_a_callback() -> None:
    running: Running

    def stop(_: object) -> None:
        running.connection.stop()

    with StandIn(StandInSettings(rate=1_000)) as stand_in:
        running = Running(twelve_data(stand_in.url(key=None)), on_frame=stop)
        with running:
            assert running.wait_for_end() is None
            assert running.states[-1] is State.CLOSED
