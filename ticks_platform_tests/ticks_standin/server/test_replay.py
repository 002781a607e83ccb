"""Replay of recorded journals."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ticks_platform.paths import project_root
from ticks_platform_tests.support.timing import within
from ticks_standin import StandIn, StandInError, StandInProcess, StandInSettings
from ticks_standin.server.replay import is_data

Connect = Callable[..., Any]

ACK = b'{"event":"subscribe-status","status":"ok"}'


def price(number: int) -> bytes:
    return b'{"event":"price","symbol":"AAPL","timestamp":1,"price":%d.5}' % number


def write_journal(file: Path, frames: list[tuple[int, bytes]], per_group: int = 7) -> Path:
    """A journal as ingestion writes it; each frame with the milliseconds at which it was received."""
    with sqlite3.connect(file) as journal:
        journal.executescript((project_root() / "sql/journal/journal.sql").read_text(encoding="utf-8"))
        journal.execute("PRAGMA application_id = 0x7469636B")
        journal.execute("PRAGMA user_version = 1")
        position = 0
        for at in range(0, len(frames), per_group):
            group = frames[at : at + per_group]
            size = sum(len(payload) or 1 for _, payload in group)
            stamps = [10**18 + milliseconds * 1_000_000 for milliseconds, _ in group]
            data = msgspec.msgpack.encode([1, 1, stamps, [payload for _, payload in group]])
            journal.execute(
                "INSERT INTO frame_group VALUES (?, ?, ?, ?, ?)", (position, position + size, at, len(group), data)
            )
            position += size
    return file


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (price(1), True),
        (ACK, False),
        (b'{"event":"heartbeat","status":"ok"}', False),
        (b'[{"ev":"status","status":"connected"}]', False),
        (b'[{"ev":"T","sym":"A"}]', True),
        (b"not json", True),
        (b"", True),
    ],
)
def test_what_is_data(payload: bytes, data: bool) -> None:
    assert is_data(payload) is data


def test_as_fast_as_it_is_read(tmp_path: Path, connect: Connect, connect_polygon: Connect) -> None:
    prices = [price(number) for number in range(500)]
    trades = [b'[{"ev":"T","sym":"A","t":%d}]' % number for number in range(500)]
    mixed = [(0, ACK)] + [
        (number * 60_000, frame) for number, pair in enumerate(zip(prices, trades, strict=True)) for frame in pair
    ]
    file = write_journal(tmp_path / "journal.sqlite3", [*mixed, (0, b"odd")])
    with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
        one = connect(stand_in.url())
        one.act("subscribe", "AAPL")
        other = connect_polygon(stand_in.url("polygon")).enter("T.A")
        assert stand_in.replay(file, 0) == 1_001
        for client, frames, before in ((one, prices, 1), (other, trades, 3)):
            assert [client.socket.recv_data()[1] for _ in range(501)] == [*frames, b"odd"]
            account = stand_in.account().connections[client is other]
            assert account.sent[before:] == [*frames, b"odd"]
            assert account.odd == {"replayed": {"frames": 501}}
        assert stand_in.replay(file, 0, data_only=False) == 1_002
        assert one.socket.recv_data()[1] == ACK


def test_pace(tmp_path: Path, connect: Connect) -> None:
    file = write_journal(tmp_path / "journal.sqlite3", [(number * 100, price(number)) for number in range(11)])
    with StandIn(StandInSettings(rate=0)) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")

        def seconds() -> float:
            start = time.monotonic()
            assert stand_in.replay(file, 4.0) == 11
            took = time.monotonic() - start
            assert took > 0.24
            assert [event["price"] for event in client.hear_prices(11)] == [number + 0.5 for number in range(11)]
            return took

        within(0.6, seconds)


def test_what_is_no_journal(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    sqlite3.connect(other).executescript("CREATE TABLE x (y)").connection.close()
    text = tmp_path / "text"
    text.write_text("x" * 5_000)
    with StandIn(StandInSettings(rate=0)) as stand_in:
        for file, problem in ((tmp_path / "none", "no journal at"), (other, "not a journal"), (text, "cannot be read")):
            with pytest.raises(StandInError, match=problem):
                stand_in.replay(file)
    with pytest.raises(StandInError, match="no journal at"), StandIn(StandInSettings(replay=str(tmp_path / "none"))):
        pass
    with pytest.raises(StandInError, match="no journal at"):
        StandInProcess(StandInSettings(replay=str(tmp_path / "none")))


def test_on_the_command_line(tmp_path: Path, connect: Connect) -> None:
    file = write_journal(tmp_path / "journal.sqlite3", [(number, price(number)) for number in range(50)])
    command = [sys.executable, "-m", "ticks_standin", "--replay", str(file), "--replay-speed", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        client = connect(json.loads(child.stdout.readline())["urls"]["twelve_data"] + "?apikey=demo")
        client.act("subscribe", "AAPL")
        assert len(client.hear_prices(50)) == 50
        child.terminate()
