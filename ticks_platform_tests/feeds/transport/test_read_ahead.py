"""Messages that are read together are those that websocket-client reads one by one, for any bytes, cut anywhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.errors import ConnectionLostError
from ticks_platform.feeds.transport.websocket import DATA, WebSocketConnection, _WebSocket
from ticks_platform_tests.support.any_frames import QUICK, THOROUGH
from ticks_platform_tests.support.feeds import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode

LIMIT = 70_000
PRICES = st.integers(0, 400).map(lambda size: encode(b"p" * size))


def masked(payload: bytes) -> bytes:
    mask = b"mask"
    return bytes((0x81, 0x80 | len(payload))) + mask + bytes(b ^ mask[at % 4] for at, b in enumerate(payload))


FRAMES = st.one_of(
    PRICES,
    PRICES,
    st.lists(PRICES, max_size=20).map(b"".join),
    st.binary(max_size=130).map(lambda payload: encode(payload, BINARY)),
    # Lengths around which the header changes, and around the limit.
    st.sampled_from((0, 125, 126, 127, 65_535, 65_536, LIMIT, LIMIT + 1)).map(lambda size: encode(b"l" * size)),
    # A length in more bytes than it needs.
    st.binary(max_size=130).map(lambda payload: bytes((0x81, 126)) + len(payload).to_bytes(2, "big") + payload),
    st.binary(max_size=130).map(lambda payload: bytes((0x81, 127)) + len(payload).to_bytes(8, "big") + payload),
    st.sampled_from((PING, PONG)).flatmap(lambda op: st.binary(max_size=125).map(lambda each: encode(each, op))),
    st.just(encode((1001).to_bytes(2, "big") + b"going away", CLOSE)),
    st.lists(st.sampled_from((b"", b"part", encode(b"", PING))), max_size=4).map(
        lambda parts: b"".join(
            (
                encode(b"begin", TEXT, final=False),
                *(each if each[:1] == b"\x89" else encode(each, CONTINUATION, final=False) for each in parts),
                encode(b"end", CONTINUATION),
            )
        )
    ),
    st.sampled_from((encode(b"", TEXT, final=False), encode(b"nothing began", CONTINUATION))),
    st.binary(max_size=100).map(masked),
    # Reserved bits, unknown opcodes.
    st.tuples(st.integers(0, 255), st.binary(max_size=10)).map(lambda each: bytes((each[0], len(each[1]))) + each[1]),
    st.binary(max_size=40),
)
STREAMS = st.lists(FRAMES, max_size=12).map(b"".join)
CUTS = st.lists(st.floats(0, 1), max_size=8)


@contextmanager
def connection() -> Iterator[tuple[socket.socket, _WebSocket, WebSocketConnection]]:
    """A server's end of a socket, and a WebSocket on the other, as it is after the handshake."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        websocket = _WebSocket(LIMIT)
        websocket.sock = theirs
        websocket.connected = True
        assert websocket.reader is not None
        websocket.reader.handshake_left = None
        opened = WebSocketConnection(websocket, websocket.reader)
        opened.set_timeout(0.002)
        yield ours, websocket, opened


def one_by_one(stream: bytes) -> tuple[list[tuple[bool, bytes]], str]:
    """All messages, and what ends them, as websocket-client reads them."""
    messages: list[tuple[bool, bytes]] = []
    with connection() as (server, websocket, opened):
        opened.set_timeout(5.0)
        server.sendall(stream)
        server.shutdown(socket.SHUT_WR)
        try:
            while True:
                opcode, data = websocket.recv_data(control_frame=True)
                messages.append((opcode in DATA, data))
        except Exception as error:  # noqa: BLE001  (compared)
            return messages, str(error)


def together(stream: bytes, cuts: list[float], most: int, most_bytes: int) -> tuple[list[tuple[bool, bytes]], str]:
    """The same as a connection receives them, if the stream arrives in these pieces."""
    messages: list[tuple[bool, bytes]] = []
    places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    with connection() as (server, _, opened):
        for begin, end in zip(places, [*places[1:], None], strict=True):
            if end is None:
                opened.set_timeout(5.0)
                server.shutdown(socket.SHUT_WR)
            else:
                server.sendall(stream[begin:end])
            try:
                while True:
                    buffered = opened.receive_buffered(most, most_bytes)
                    assert len(buffered) <= most
                    assert sum(map(len, buffered)) <= most_bytes
                    messages += [(True, data) for data in buffered]
                    if buffered:
                        continue
                    received = opened.receive()
                    if received is None:
                        break
                    messages.append((received[0] in DATA, received[1]))
            except ConnectionLostError as error:
                return messages, str(error).removeprefix("connection lost: ")
    raise AssertionError("the end of the stream was not noticed")


def check(stream: bytes, cuts: list[float], most: int, most_bytes: int) -> None:
    expected, end = one_by_one(stream)
    found, found_end = together(stream, cuts, most, most_bytes)
    assert found == expected
    assert found_end == end


ANY = given(STREAMS, CUTS, st.integers(1, 20), st.sampled_from((0, 100, 500, LIMIT)))


@QUICK
@ANY
def test_any_stream_cut_anywhere(stream: bytes, cuts: list[float], most: int, most_bytes: int) -> None:
    check(stream, cuts, most, most_bytes)


@pytest.mark.full
@THOROUGH
@ANY
def test_many_streams_cut_anywhere(stream: bytes, cuts: list[float], most: int, most_bytes: int) -> None:
    check(stream, cuts, most, most_bytes)


def test_all_that_is_buffered_is_read_at_once() -> None:
    """Up to the first frame that is anything else."""
    prices = [b"p" * size for size in (0, 1, 125, 126, 300, 65_535)]
    with connection() as (server, _, opened):
        server.sendall(b"".join(map(encode, prices)) + encode(b"a", PING) + encode(b"after") + encode(b"cut off")[:4])
        first = opened.receive()
        assert first == (TEXT, prices[0])
        assert opened.receive_buffered(100, 1 << 20) == prices[1:]
        assert opened.receive_buffered(100, 1 << 20) == []
        assert opened.receive() == (PING, b"a")
        assert opened.receive() == (TEXT, b"after")
        assert opened.receive_buffered(100, 1 << 20) == []


def test_a_buffered_message_beyond_the_limit_is_refused() -> None:
    with connection() as (server, websocket, _):
        limited = _WebSocket(1000)
        limited.sock, limited.connected = websocket.sock._socket, True
        assert limited.reader is not None
        limited.reader.handshake_left = None
        opened = WebSocketConnection(limited, limited.reader)
        opened.set_timeout(1.0)
        server.sendall(encode(b"first") + encode(b"x" * 1000) + encode(b"y" * 1001))
        assert opened.receive() == (TEXT, b"first")
        assert opened.receive() == (TEXT, b"x" * 1000)
        with pytest.raises(ConnectionLostError, match="a message of more than"):
            opened.receive()
