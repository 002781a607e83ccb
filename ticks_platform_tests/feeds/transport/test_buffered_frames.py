"""Frames that arrive together: in order, with one arrival; what is no data among them is handled in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from ticks_platform.feeds.events import Acknowledged, Frame, ProviderError
from ticks_platform.feeds.transport import reconnect
from ticks_platform.feeds.transport.arrivals import Arrivals
from ticks_platform.feeds.transport.state import State
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector, TwelveDataConversation
from ticks_platform_tests.support.feeds import (
    CLOSE,
    PING,
    PONG,
    Peer,
    PeerServer,
    Running,
    encode,
    twelve_data,
    wait_until,
)

COUNT = 1500


class Groups(Running):
    """Keeps what is handed over together."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.groups: list[Sequence[Frame]] = []
        super().__init__(*arguments, **options)

    def _on_frames(self, frames: Sequence[Frame]) -> None:
        self.groups.append(frames)
        super()._on_frames(frames)


def acknowledged(symbol: str) -> bytes:
    return b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"%s"}]}' % symbol.encode()


def quote(number: int) -> bytes:
    """A price as the service writes it."""
    return b'{"event":"price","symbol":"AAPL","timestamp":1536036818,"price":%d.5}' % number


def stream(peer: Peer) -> None:
    """Let the client stream: its next frames are received together."""
    peer.upgrade()
    peer.receive()
    peer.send(quote(0))


def test_many_frames_are_few_groups_with_one_arrival_each_and_in_order() -> None:
    sent = [quote(number) for number in range(1, COUNT)]

    def serve(peer: Peer) -> None:
        stream(peer)
        # They are there when the client begins to read.
        wait_until(lambda: len(running.frames) == 1, "the first frame")
        peer.socket.sendall(b"".join(map(encode, sent)))
        peer.receive_until_end()

    with PeerServer(serve) as server, Groups(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == COUNT, "all frames")
    assert running.received(1)[1:] == sent
    assert max(map(len, running.groups)) > 100
    assert max(map(len, running.groups)) <= reconnect.MAX_GROUP_FRAMES
    assert all(list(group.received_at) == sorted(group.received_at) for group in running.groups)  # type: ignore[attr-defined]
    stamps = {frame.received_at for frame in running.frames}
    assert len(stamps) < COUNT / 10


def test_what_is_no_data_is_handled_in_its_place() -> None:
    """Pings are answered, acknowledgements are reported, and odd frames are kept, between the data where they came."""
    said = acknowledged("AAPL"), acknowledged("BTC/USD")
    parts = [
        *(encode(quote(number)) for number in range(1, 50)),
        encode(said[0]),
        *(encode(quote(number)) for number in range(50, 60)),
        encode(b"?", PING),
        *(encode(quote(number)) for number in range(60, 100)),
        encode(b"no json"),
        encode(said[1]),
        *(encode(quote(number)) for number in range(100, 200)),
    ]
    expected = [
        *(quote(number) for number in range(1, 50)),
        said[0],
        *(quote(number) for number in range(50, 100)),
        b"no json",
        said[1],
        *(quote(number) for number in range(100, 200)),
    ]
    pongs: list[bytes] = []

    def serve(peer: Peer) -> None:
        stream(peer)
        wait_until(lambda: len(running.frames) == 1, "the first frame")
        peer.socket.sendall(b"".join(parts))
        while True:
            opcode, data = peer.receive()
            if opcode == PONG:
                pongs.append(data)

    with PeerServer(serve) as server, Groups(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == len(expected) + 1, "all frames")
        wait_until(lambda: pongs, "a pong")
    assert running.received(1)[1:] == expected
    assert pongs == [b"?"]
    assert [notice.channels for notice in running.notices if isinstance(notice, Acknowledged)] == [
        ("AAPL",),
        ("BTC/USD",),
    ]


def test_what_arrived_after_the_frame_that_ended_the_connection_is_kept() -> None:
    """The connection breaks while one of several frames is answered: the others are no less there."""
    sent = [quote(number) for number in range(1, 30)]

    class Answering(TwelveDataConversation):
        def to_read(self, frames: Sequence[bytes]) -> Sequence[int]:
            return [place for place, frame in enumerate(frames) if frame == sent[10]]

        def receive(self, frame: bytes) -> Any:
            reaction = super().receive(frame)
            if frame != sent[10]:
                return reaction
            peers[0].reset()
            return reaction._replace(replies=("x" * (8 << 20),))

    class Connector(TwelveDataConnector):
        def converse(self) -> Answering:
            return Answering()

    peers: list[Peer] = []

    def serve(peer: Peer) -> None:
        peers.append(peer)
        stream(peer)
        wait_until(lambda: running.frames, "the first frame")
        if server.accepted > 1:
            peer.receive_until_end()
        peer.socket.sendall(b"".join(map(encode, sent)))
        with contextlib.suppress(OSError):
            while peer.receive()[0] != CLOSE:
                pass

    with PeerServer(serve) as server, Groups(Connector(url=server.url, api_key="k")) as running:
        running.wait_for(State.BACKING_OFF)
        assert running.received(1)[1:] == sent


class Wrong(TwelveDataConversation):
    """Tells of frames that there are not, and raises."""

    def to_read(self, frames: Sequence[bytes]) -> Any:
        if len(frames) % 2:
            raise KeyError("odd")
        return iter([len(frames), -1, 1, 0, 0])


def test_a_connector_that_is_wrong_about_frames_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwelveDataConnector, "converse", lambda _self: Wrong())
    sent = [quote(number) for number in range(1, 300)]

    def serve(peer: Peer) -> None:
        stream(peer)
        for frame in sent:
            peer.send(frame)
        peer.receive_until_end()

    with PeerServer(serve) as server, Running(twelve_data(server.url)) as running:
        wait_until(lambda: len(running.frames) == len(sent) + 1, "all frames")
    assert running.received(1)[1:] == sent
    assert running.failure is None
    assert all("KeyError" in notice.message for notice in running.notices if isinstance(notice, ProviderError))


def test_arrivals_are_a_sequence_of_frames() -> None:
    frames = [Frame(b"a", 1, 7, 5, 3, covered_until=9), Frame(b"b", 2, 7, 5, 3)]
    arrivals = Arrivals.of(frames)
    assert list(arrivals) == frames
    assert arrivals[::-1] == frames[::-1]
    assert arrivals[1:] == frames[1:]
    assert arrivals[-1] == frames[-1]
    assert len(arrivals) == 2
    assert Arrivals.of(arrivals) is arrivals
    with pytest.raises(IndexError):
        arrivals[2]
