"""Messages and handshakes have a size limit: memory stays bounded, whatever a server sends."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from ticks_platform.feeds.transport import limits, reconnect, websocket
from ticks_platform.feeds.transport.state import State
from ticks_platform_tests.support.feeds import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Peer,
    PeerServer,
    Running,
    price,
    twelve_data,
    wait_until,
)

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of 2 MB for each connection that a test opens."""
    before = reconnect.FeedConnection.__init__

    def init(self: reconnect.FeedConnection, *arguments: object, **options: object) -> None:
        before(self, *arguments, **options | {"max_message_bytes": 2 * MEGABYTE})  # type: ignore[arg-type]

    monkeypatch.setattr(reconnect.FeedConnection, "__init__", init)


def fragments(peer: Peer) -> None:
    """240 MB in fragments, or as many as the client reads."""
    peer.send(b'{"event":"price","symbol":"', TEXT, final=False)
    for _ in range(240 * 16):
        peer.send(b"x" * (MEGABYTE // 16), CONTINUATION, final=False)


def one_frame(peer: Peer) -> None:
    """The header of a frame of 240 MB, and as much of it as the client reads."""
    peer.socket.sendall(bytes((0x81, 127)) + (240 * MEGABYTE).to_bytes(8, "big"))
    for _ in range(240 * 16):
        peer.socket.sendall(b"x" * (MEGABYTE // 16))


def most_of_the_address_space(peer: Peer) -> None:
    peer.socket.sendall(bytes((0x81, 127)) + (2**63 - 1).to_bytes(8, "big"))
    peer.receive_until_end()


def the_last_fragment_is_too_much(peer: Peer) -> None:
    peer.send(b"x" * (2 * MEGABYTE - 5), TEXT, final=False)
    peer.send(b"", PING)
    peer.send(b"x" * 6, CONTINUATION)
    peer.receive_until_end()


@pytest.mark.parametrize("send", [fragments, one_frame, most_of_the_address_space, the_last_fragment_is_too_much])
def test_a_message_without_end_is_refused_and_named(send: Callable[[Peer], None]) -> None:
    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.send(price())
        if server.accepted == 1:
            send(peer)
        else:
            peer.receive_until_end()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        lost = running.wait_for(State.BACKING_OFF)
        assert "a message of more than 2 MB" in lost.detail
        assert "max_message_megabytes" in lost.detail
        assert "journal.max_megabytes" in lost.detail
        running.wait_for(State.STREAMING, times=2)
        assert running.received(1) == [price()]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MB"


def test_messages_up_to_the_limit_arrive_however_they_are_cut() -> None:
    whole = price(padding="x" * MEGABYTE)
    largest = price(padding="y" * (2 * MEGABYTE - len(price(padding=""))))
    assert len(largest) == 2 * MEGABYTE

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        for message, size in ((whole, 1000), (largest, 100_000), (price(), 1)):
            parts = [message[at : at + size] for at in range(0, len(message), size)]
            peer.send(parts[0], TEXT, final=False)
            for part in parts[1:-1]:
                peer.send(part, CONTINUATION, final=False)
                peer.send(b"", CONTINUATION, final=False)
            peer.send(b"still here", PING)
            peer.send(parts[-1], CONTINUATION)
        peer.send(largest)
        peer.send(price(price=3.0))
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == 5, "all messages")
        assert running.received(1) == [whole, largest, price(), largest, price(price=3.0)]
        assert State.BACKING_OFF not in running.states


def test_the_provider_is_told_why() -> None:
    codes: list[int] = []

    def serve(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        peer.socket.sendall(bytes((0x81, 127)) + (3 * MEGABYTE).to_bytes(8, "big"))
        while True:
            opcode, payload = peer.receive()
            if opcode == CLOSE:
                codes.append(int.from_bytes(payload[:2], "big"))

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        running.wait_for(State.BACKING_OFF)
        wait_until(lambda: codes, "a close frame")
    assert codes[0] == 1009


def headers_without_end(peer: Peer) -> None:
    peer.socket.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.socket.sendall(b"X-More: " + b"x" * 4000 + b"\r\n")


def a_line_without_end(peer: Peer) -> None:
    while True:
        peer.socket.sendall(b"HTTP/1.1 200 " + b"x" * 65536)


def a_body_without_end(peer: Peer) -> None:
    peer.socket.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        peer.socket.sendall(b"x" * 65536)


@pytest.mark.parametrize("send", [headers_without_end, a_line_without_end, a_body_without_end])
def test_a_handshake_without_end(send: Callable[[Peer], None], monkeypatch: pytest.MonkeyPatch) -> None:
    # websocket-client reads a header byte by byte.
    assert limits.MAX_HANDSHAKE_BYTES <= 1 << 17
    monkeypatch.setattr(websocket, "MAX_HANDSHAKE_BYTES", 1 << 14)

    def serve(peer: Peer) -> None:
        peer.read_request()
        send(peer)

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        lost = running.wait_for(State.BACKING_OFF)
        assert "larger than 16 KB" in lost.detail
