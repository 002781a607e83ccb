"""Responses of REST APIs: a size limit whatever they say of themselves, and Retry-After."""

from __future__ import annotations

import gzip
import resource
import zlib
from collections.abc import Callable, Iterator

import pytest

from ticks_platform.feeds.history import HistoryAnswer, HistoryRequest, RateLimitedError, TransientError
from ticks_platform.feeds.transport import history_client
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform_tests.support.feeds import Peer, PeerServer

MEGABYTE = 1 << 20
BODY = b'{"results":[' + b",".join(b"%d" % number for number in range(100_000)) + b"]}"


def bomb(wbits: int) -> bytes:
    """100 MB of zeros in less than half a megabyte: packed once, since each block begins again."""
    packer = zlib.compressobj(1, wbits=wbits)
    first, block = (packer.compress(b"\0" * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + block * 99


BOMB = bomb(zlib.MAX_WBITS | 16)


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_client, "MAX_BODY_BYTES", 4 * MEGABYTE)


@pytest.fixture
def client() -> Iterator[HistoryClient]:
    client = HistoryClient(timeouts=(5.0, 5.0))
    yield client
    client.close()


def answering(
    *headers: str, status: str = "200 OK", body: bytes = b"", then: Callable[[Peer], None] | None = None
) -> PeerServer:
    """A server that answers each request so."""

    def serve(peer: Peer) -> None:
        peer.read_request()
        head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""])
        peer.socket.sendall(head.encode() + body)
        if then is not None:
            then(peer)

    return PeerServer(serve)


def get(client: HistoryClient, server: PeerServer) -> HistoryAnswer:
    return client.get(HistoryRequest(server.url.replace("ws://", "http://"), {"Authorization": "Bearer s3cret"}))


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def pour(peer: Peer) -> None:
    while True:
        peer.socket.sendall(b"x" * 65536)


def pour_chunks(peer: Peer) -> None:
    while True:
        peer.socket.sendall(chunked(b"x" * 65536))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((f"Content-Length: {len(BODY)}",), BODY),
        (("Transfer-Encoding: chunked",), chunked(BODY[:5], BODY[5:70_000], BODY[70_000:], b"")),
        ((), BODY),
        (("Content-Encoding: gzip",), gzip.compress(BODY)),
        (("Content-Encoding: gzip",), gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])),
        (("Content-Encoding: deflate",), zlib.compress(BODY)),
        (("Content-Encoding: deflate",), zlib.compress(BODY)[2:-4]),
        (("Content-Encoding: gzip", "Transfer-Encoding: chunked"), chunked(gzip.compress(BODY), b"")),
        (("Content-Encoding: identity",), BODY),
    ],
    ids=[
        "length",
        "chunked",
        "to the end",
        "gzip",
        "two gzip members",
        "zlib",
        "raw deflate",
        "gzip chunked",
        "identity",
    ],
)
def test_a_body_is_read_whatever_its_framing(client: HistoryClient, headers: tuple[str, ...], body: bytes) -> None:
    with answering(*headers, body=body) as server:
        answer = get(client, server)
        assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize(
    ("headers", "body", "then"),
    [
        (("Content-Length: 99999999999",), b"", pour),
        ((), b"", pour),
        (("Transfer-Encoding: chunked",), b"", pour_chunks),
        (("Content-Encoding: gzip", f"Content-Length: {len(BOMB)}"), BOMB, None),
        (("Content-Encoding: deflate",), bomb(zlib.MAX_WBITS), None),
        (("Content-Encoding: gzip", "Transfer-Encoding: chunked"), chunked(BOMB, b""), None),
        (("Content-Encoding: gzip",), gzip.compress(b"\0" * MEGABYTE, 1) * 100, None),
    ],
    ids=["length", "to the end", "chunked", "gzip bomb", "deflate bomb", "chunked bomb", "many members"],
)
def test_a_body_without_end_is_refused(
    client: HistoryClient, headers: tuple[str, ...], body: bytes, then: Callable[[Peer], None] | None
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with answering(*headers, body=body, then=then) as server:
        with pytest.raises(TransientError, match="larger than 4 MB") as raised:
            get(client, server)
        assert "s3cret" not in str(raised.value)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 40


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((f"Content-Length: {len(BODY) + 1}",), BODY),
        (("Transfer-Encoding: chunked",), chunked(BODY)),
        (("Content-Encoding: gzip",), gzip.compress(BODY)[:-9]),
        (("Content-Encoding: gzip",), BODY),
        (("Content-Encoding: br",), BODY),
        (("Content-Encoding: gzip, gzip",), gzip.compress(gzip.compress(BODY))),
        (("Content-Encoding: gzip",), gzip.compress(BODY) + b"rubbish"),
    ],
    ids=["shorter", "cut chunks", "cut gzip", "no gzip", "another coding", "twice", "rubbish"],
)
def test_a_body_that_is_not_what_its_headers_say(client: HistoryClient, headers: tuple[str, ...], body: bytes) -> None:
    with answering(*headers, body=body) as server, pytest.raises(TransientError, match="no response"):
        get(client, server)


def test_an_empty_body(client: HistoryClient) -> None:
    for headers in (("Content-Length: 0",), ("Content-Encoding: gzip", "Content-Length: 0")):
        with answering(*headers) as server:
            assert get(client, server).body == b""


def test_a_body_that_never_ends_in_time(client: HistoryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_client, "MAX_SECONDS", 0.2)

    def trickle(peer: Peer) -> None:
        while True:
            peer.socket.sendall(b"x")

    with answering(then=trickle) as server, pytest.raises(TransientError, match="TimeoutError"):
        get(client, server)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_pause_that_a_server_asks_for(client: HistoryClient, status: str) -> None:
    with answering("Retry-After: 60", status=status) as server:
        with pytest.raises(RateLimitedError, match=f"answered {status[:3]}") as raised:
            get(client, server)
        assert raised.value.seconds == 60
    with answering(status=status) as server:
        assert get(client, server).status == int(status[:3])
