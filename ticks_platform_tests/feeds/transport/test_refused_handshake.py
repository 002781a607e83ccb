"""Refused handshakes whose body has no Content-Length."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import pytest

from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.transport import reconnect, websocket
from ticks_platform.feeds.transport.state import State
from ticks_platform_tests.support.feeds import KEY, Peer, PeerServer, Running, twelve_data

REFUSAL = json.dumps({"code": 401, "status": "error", "message": "**apikey** parameter is incorrect"}).encode()
PASSING = json.dumps({"code": 500, "status": "error", "message": "try again later"}).encode()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.05)
    monkeypatch.setattr(reconnect, "REJECTED_PAUSE", 0.05)


def chunks(body: bytes) -> bytes:
    """A body in small chunks."""
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def answering(
    status: str, *parts: bytes, headers: Sequence[str] = (), then: Callable[[Peer], None] | None = None
) -> Callable[[Peer], None]:
    """A server that sends this response part by part, and closes."""

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode())
        for part in parts:
            time.sleep(0.02)  # in separate packets
            peer.socket.sendall(part)
        if then is not None:
            then(peer)

    return serve


CHUNKED = ("Transfer-Encoding: chunked", "Content-Type: application/json")


def hold_open(peer: Peer) -> None:
    """Wait until the client closes."""
    while peer.socket.recv(4096):
        pass


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "400 Bad Request"])
@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        (CHUNKED, [chunks(REFUSAL)]),
        (CHUNKED, [chunks(REFUSAL)[:11], chunks(REFUSAL)[11:]]),
        ((), [REFUSAL]),
        ((), [REFUSAL[:9], REFUSAL[9:]]),
    ],
    ids=["chunked", "chunked, in two packets", "to the end", "to the end, in two packets"],
)
def test_a_refusal_is_read_whatever_its_framing(
    status: str, headers: Sequence[str], parts: Sequence[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with (
        PeerServer(answering(status, *parts, headers=headers)) as server,
        Running(twelve_data(server.url)) as running,
    ):
        assert isinstance(running.wait_for_end(), FeedRefusedError)
        assert running.states == [State.CONNECTING, State.BACKING_OFF, State.CONNECTING, State.REFUSED]
        assert server.accepted == 2
        assert KEY not in caplog.text + running.history()


@pytest.mark.parametrize("headers", [CHUNKED, ()], ids=["chunked", "to the end"])
def test_a_connection_that_is_held_open_behind_the_refusal(
    headers: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "BODY_TIMEOUT", 0.3)
    body = chunks(REFUSAL)[:-5] if headers else REFUSAL  # without the last chunk
    with (
        PeerServer(answering("200 OK", body, headers=headers, then=hold_open)) as server,
        Running(twelve_data(server.url)) as running,
    ):
        assert isinstance(running.wait_for_end(), FeedRefusedError)


def test_a_body_without_end_is_read_up_to_a_point() -> None:
    def pour(peer: Peer) -> None:
        while True:
            peer.socket.sendall(b"x" * 65536)

    with PeerServer(answering("200 OK", then=pour)) as server, Running(twelve_data(server.url)) as running:
        assert "HTTP 200" in running.wait_for(State.BACKING_OFF).detail


@pytest.mark.parametrize(
    ("status", "parts"),
    [("200 OK", [chunks(PASSING)]), ("503 Service Unavailable", [b"not a chunk"]), ("502 Bad Gateway", [])],
)
def test_what_is_no_refusal_is_tried_again(status: str, parts: Sequence[bytes]) -> None:
    with PeerServer(answering(status, *parts, headers=CHUNKED)) as server, Running(twelve_data(server.url)) as running:
        assert f"HTTP {status[:3]}" in running.wait_for(State.BACKING_OFF, times=2).detail
