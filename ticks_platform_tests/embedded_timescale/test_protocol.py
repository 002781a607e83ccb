"""The frontend/backend protocol, byte by byte."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import embedded_timescale


def packet(code: int, *texts: str) -> bytes:
    body = struct.pack("!i", code) + b"".join(text.encode() + b"\0" for text in texts)
    return struct.pack("!i", len(body) + 4) + body


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


STARTUP = packet(196608, "user", "postgres", "database", "postgres", "")


class RawClient:
    """A connection that shows every message."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes, *, slowly: bool = False) -> None:
        for part in (data[i : i + 1] for i in range(len(data))) if slowly else (data,):
            self.socket.sendall(part)

    def until(self, last: str) -> list[tuple[str, bytes]]:
        """Messages up to the next one of kind ``last``; up to the end of the connection for ``""``."""
        seen: list[tuple[str, bytes]] = []
        while kind := self.file.read(1).decode():
            (length,) = struct.unpack("!i", self.file.read(4))
            seen.append((kind, self.file.read(length - 4)))
            if kind == last:
                return seen
        assert last == "", f"the connection ended after {seen}"
        return seen

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def socket_path(url: str) -> str:
    return os.path.join(parse_qs(urlsplit(url).query)["host"][0], ".s.PGSQL.5432")  # noqa: PTH118


@pytest.fixture
def raw(socket_path: str) -> Iterator[RawClient]:
    opened = RawClient(socket_path)
    yield opened
    opened.close()


def test_all_of_it_split_byte_by_byte(raw: RawClient) -> None:
    raw.send(packet(80877103), slowly=True)
    assert raw.file.read(1) == b"N"
    raw.send(packet(80877104), slowly=True)
    assert raw.file.read(1) == b"N"
    raw.send(STARTUP, slowly=True)
    assert raw.until("Z")[0] == ("R", b"\0\0\0\0")
    raw.send(message("Q", b"SELECT 'whole'\0"), slowly=True)
    assert [kind for kind, _ in raw.until("Z")] == ["T", "D", "C", "Z"]


def test_all_of_it_in_one_piece(raw: RawClient) -> None:
    exchange = message("P", b"s\0SELECT 7\0\0\0") + message("B", b"\0s\0\0\0\0\0\0\0") + message("E", b"\0\0\0\0\0")
    raw.send(STARTUP + message("Q", b"SELECT 1; SELECT 2\0") + exchange + message("S") + message("Q", b"\0"))
    kinds = [kind for _ in range(4) for kind, _ in raw.until("Z") if kind not in "RSK"]
    assert "".join(kinds) == "ZTDCTDCZ12DCZIZ"


def test_an_error_skips_to_the_next_sync(raw: RawClient) -> None:
    raw.send(STARTUP)
    raw.until("Z")
    bad = message("P", b"\0SELECT nope\0\0\0") + message("B", b"\0\0\0\0\0\0\0\0") + message("E", b"\0\0\0\0\0")
    raw.send(bad + message("H"))
    assert [kind for kind, _ in raw.until("E")] == ["E"]
    raw.send(message("P", b"\0SELECT 1\0\0\0") + message("S"))
    assert raw.until("Z") == [("Z", b"I")]


def test_a_later_minor_version_is_negotiated(raw: RawClient) -> None:
    raw.send(packet(196610, "user", "postgres", "_pq_.option", "1", ""))
    first, second = raw.until("Z")[:2]
    assert first == ("v", struct.pack("!ii", 196608, 1) + b"_pq_.option\0")
    assert second[0] == "R"


@pytest.mark.parametrize(
    "nonsense",
    [
        struct.pack("!ii", 2**30, 196608),
        packet(131072),
        STARTUP + b"\x16\x03\x01\x02\x00",
        STARTUP + b"Q\xff\xff\xff\xff",
    ],
)
def test_nonsense_ends_that_connection_only(raw: RawClient, socket_path: str, nonsense: bytes) -> None:
    raw.send(nonsense)
    assert raw.until("")[-1][0] == "E"
    other = RawClient(socket_path)
    other.send(STARTUP)
    assert other.until("Z")[-1] == ("Z", b"I")
    other.close()


def test_a_connection_without_a_word(socket_path: str, shared_data_dir: Path) -> None:
    RawClient(socket_path).close()
    assert embedded_timescale.status(shared_data_dir).running
