"""The stand-in that outlives who started it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ticks_standin import StandInError, StandInSettings, daemon
from ticks_standin.server.feed_server import FeedServer

Connect = Callable[..., Any]

SETTINGS = StandInSettings(rate=50, history_events=10_000)

START = """
import sys
from pathlib import Path
from ticks_standin import StandInSettings, daemon
daemon.ensure_running(Path(sys.argv[1]), StandInSettings(rate=50, history_events=10_000))
print("started", flush=True)
input()
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Where it is announced."""
    file = tmp_path / "stand-in" / "stocks.json"
    yield file
    daemon.stop(file)


def is_open(port: int) -> bool:
    """Whether somebody listens there; a connection without a word counts for nothing."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_outlives_the_run_that_started_it(file: Path, connect: Connect) -> None:
    """Whoever is killed with all of its processes; the next one that wants it has the same one."""
    run = subprocess.Popen(
        [sys.executable, "-c", START, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"started\n"
        os.killpg(run.pid, signal.SIGKILL)
    found = daemon.find(file)
    assert found is not None
    assert daemon.ensure_running(file, SETTINGS) == found
    client = connect(found.url())
    client.act("subscribe", "AAPL")
    assert client.hear_prices(1)


def test_other_settings_are_another_one(file: Path, connect: Connect) -> None:
    """The one before goes on for as long as somebody is connected to it."""
    before = daemon.ensure_running(file, SETTINGS)
    client = connect(before.url())
    client.act("subscribe", "AAPL")
    after = daemon.ensure_running(file, StandInSettings(rate=100, history_events=10_000))
    assert after.port != before.port
    assert client.hear_prices(50), "in a second, in which it sees that there is another one"
    client.socket.close()
    deadline = time.monotonic() + 60
    while is_open(before.port):
        assert time.monotonic() < deadline
    assert daemon.find(file) == after


def test_the_file_of_an_earlier_version_is_understood(file: Path) -> None:
    """A stand-in goes on running while the platform is upgraded."""
    found = daemon.ensure_running(file, SETTINGS)
    written = json.loads(file.read_bytes())
    assert set(written) == {"host", "port", "started_ns", "arguments", "pid"}
    place = f'"host":"127.0.0.1","port":{written["port"]},"started_ns":{written["started_ns"]}'
    file.write_text(f'{{{place},"arguments":["--rate=50.0","--history-events=10000"]}}')
    # Files of these versions do not tell the process.
    assert daemon.find(file) == msgspec.structs.replace(found, pid=0)
    assert daemon.ensure_running(file, SETTINGS) == msgspec.structs.replace(found, pid=0)


def test_ends_when_its_file_is_gone(file: Path, connect: Connect) -> None:
    found = daemon.ensure_running(file, SETTINGS)
    daemon.stop(file)
    with pytest.raises(ConnectionRefusedError):
        connect(found.url())
    assert daemon.find(file) is None


def test_one_that_cannot_start_says_why(file: Path) -> None:
    with pytest.raises(StandInError, match="NOSUCH"):
        daemon.ensure_running(file, StandInSettings(history_events=1, traded=frozenset({"price.NOSUCH"})))


def test_ends_when_nobody_has_wanted_it_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for it wants it as well."""
    monkeypatch.setattr(daemon, "_WATCH_S", 0.01)
    file = tmp_path / "idle.json"

    async def serve() -> None:
        server = FeedServer(SETTINGS)
        await server.start()
        long_ago = server.last_request_at - daemon.IDLE_S
        stop = asyncio.Event()
        serving = asyncio.create_task(daemon.serve_until_unused(server, SETTINGS, file, stop))
        while not file.exists():
            await asyncio.sleep(0)
        server.last_request_at = long_ago + 60
        assert await asyncio.to_thread(daemon.find, file) is not None
        assert server.last_request_at > long_ago + daemon.IDLE_S
        assert not stop.is_set()
        server.last_request_at = long_ago
        await asyncio.wait_for(serving, 10)
        assert stop.is_set()
        await server.stop()

    asyncio.run(serve())
    assert not file.exists()
