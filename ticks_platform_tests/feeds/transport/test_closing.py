"""Closing a connection from this side, and retrying while the server is down."""

from __future__ import annotations

import socket

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.transport.reconnect import MAX_GROUP_BYTES, UNREACHABLE_MAX_DELAY
from ticks_platform.feeds.transport.state import State
from ticks_platform_tests.support.feeds import CLOSE, Peer, PeerServer, Running, encode, twelve_data


def status(name: str, message: str) -> bytes:
    return f'[{{"ev":"status","status":"{name}","message":"{message}"}}]'.encode()


def test_frames_on_their_way_are_kept_when_closing() -> None:
    trades = [f'[{{"ev":"T","sym":"AAPL","p":1.5,"i":"{number}"}}]'.encode() for number in range(3)]

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.send(status("connected", ""))
        peer.receive()
        peer.send(status("auth_success", ""))
        peer.receive()
        frames = (trades[0], status("max_connections", "one too many"), *trades[1:])
        peer.socket.sendall(b"".join(map(encode, frames)))
        peer.receive_until_end()

    with PeerServer(serve) as server:
        connector = PolygonConnector(url=server.url, api_key="key")
        with Running(connector, symbols=("AAPL",)) as running:
            running.wait_for(State.BACKING_OFF)
            assert [frame for frame in running.received(1) if b'"T"' in frame] == trades


HEAVY = [b'{"event":"%d","of":"%s"}' % (number, b"x" * 60_000) for number in range(60)]


def test_what_is_on_its_way_at_a_stop_is_handed_over_in_small_groups() -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        while peer.receive()[0] != CLOSE:
            pass
        for frame in HEAVY:
            peer.send(frame)
        peer.send((1000).to_bytes(2, "big"), CLOSE)

    with PeerServer(serve) as server, Running(twelve_data(server.url), symbols=("AAPL",)) as running:
        running.wait_for(State.SUBSCRIBING)
        running.stop()
        assert running.received(1) == HEAVY
        assert running.largest_group <= MAX_GROUP_BYTES + len(HEAVY[0])


def test_an_unreachable_provider_is_retried_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connector = PolygonConnector(url=f"ws://127.0.0.1:{port}/stocks", api_key="key")
    with Running(connector, symbols=("AAPL",), backoff=Backoff(base=1e6, cap=1e6, seed=1)) as running:
        detail = running.wait_for(State.BACKING_OFF).detail
    assert float(detail.split()[-2]) <= UNREACHABLE_MAX_DELAY
