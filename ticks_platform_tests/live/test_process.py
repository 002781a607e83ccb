"""The process of the page: it ends with whoever started it, and at once; `ticks dev` starts it again where it was."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from ticks_platform.cli import dev_processes
from ticks_platform.live import server

pytestmark = pytest.mark.full

PATIENCE = 30.0

PARENT = """
import os, sys, time
from pathlib import Path
from ticks_platform.cli.dev_processes import LivePage
from ticks_platform.live import server
listening = server.listen(0)
page = LivePage(listening, Path(sys.argv[1]), dict(os.environ))
page.keep_running()
print(server.address(listening), flush=True)
listening.close()
time.sleep(600)
"""


def until(what: str, look: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/status", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture
def environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of processes that work on the project, whose database is away: the page needs none to be served."""
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://ticks@127.0.0.1:1/ticks")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return dict(os.environ)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with server.listen(0) as found:
        yield found


def test_it_is_started_again_at_its_address(
    listening: socket.socket, project: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_processes, "LIVE_RESTART_SECONDS", 0.1)
    page, url = dev_processes.LivePage(listening, project, environment), server.address(listening)
    page.keep_running()
    try:
        until("it answers", lambda: answers(url))
        first = page._process
        assert first is not None
        first.kill()
        first.wait()
        time.sleep(0.2)
        page.keep_running()
        assert page._process is not first
        until("it answers again", lambda: answers(url))
        with requests.get(f"{url}/api/stream", stream=True, timeout=10) as stream:
            assert stream.ok
            begun = time.monotonic()
            page.stop()
            page.kill(PATIENCE)
            assert time.monotonic() - begun < 5, "it waits for a viewer"
    finally:
        page.kill(0.1)


def test_it_ends_with_a_parent_that_is_killed(project: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PARENT, str(project)]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        until("it answers", lambda: answers(url))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until("it has ended", lambda: not answers(url))
    finally:
        parent.kill()
        parent.communicate()


def test_a_taken_port_is_said(project: Path, environment: dict[str, str], listening: socket.socket) -> None:
    taken = listening.getsockname()[1]
    command = [sys.executable, "-m", "ticks_platform.cli.main", "live", "--port", str(taken)]
    process = subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("live page: http://127.0.0.1:")
    until("it answers", lambda: answers(line.split()[-1]))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert f"port {taken} is taken; the live page uses {line.strip().rpartition(':')[2]}" in said
