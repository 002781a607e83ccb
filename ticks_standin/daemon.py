"""A stand-in that outlives the process that started it, so that a later one can ask for what it missed.

A file says where it listens. A process that needs it joins it by that file, or starts it; it ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import msgspec

from ticks_standin.errors import StandInError
from ticks_standin.process import arguments
from ticks_standin.settings import StandInSettings
from ticks_standin.urls import provider_url

if TYPE_CHECKING:
    from ticks_standin.server.feed_server import FeedServer

IDLE_S = 120.0
"""Seconds without a connection or a request after which it ends. A killed run is restarted sooner than that."""

_START_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 5.0
_LOOK_S = 0.05
_WATCH_S = 0.5

# The environment holds API keys of data providers, which a detached server does not need.
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


class Announcement(msgspec.Struct):
    """Content of the file. Running stand-ins of earlier versions wrote it: fields may be added, with a default."""

    host: str
    port: int
    started_ns: int
    arguments: list[str]
    """Its settings but for the past. A stand-in with other settings is not reused."""
    pid: int = 0
    """Its process; 0 of an earlier version."""


class _Health(msgspec.Struct):
    started_ns: int
    history_since_ms: int


class StandInDaemon(msgspec.Struct):
    """A running daemon."""

    host: str
    port: int
    history_since_ms: int
    """Since when its history is complete, in milliseconds of UNIX time."""
    pid: int
    """Its process; 0 of an earlier version."""

    def url(self, provider: str = "twelve_data", key: str | None = "demo", market: str = "stocks") -> str:
        """WebSocket URL of a provider's feed; see ``StandInProcess.url``."""
        return provider_url(self.host, self.port, provider, key, market)


def find(file: Path) -> StandInDaemon | None:
    """The stand-in that this file names, or None if it does not answer."""
    announced = _read(file)
    return _ask(announced) if announced is not None else None


def ensure_running(file: Path, settings: StandInSettings) -> StandInDaemon:
    """The stand-in that this file names; one is started if there is none, or if it has other settings.

    Only the first one of a file makes a past: what a later one would make up is not what the first one sent.

    Raises:
        StandInError: with what it printed, if it does not start.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(file.with_suffix(".lock"), timeout=2 * _START_TIMEOUT_S):
        announced = _read(file)
        if announced is not None and announced.arguments == _without_past(settings):
            found = _ask(announced)
            if found is not None:
                return found
        return _start(file, settings)


def stop(file: Path) -> None:
    """End the stand-in that this file names, if there is one, and wait until it has ended."""
    announced = _read(file)
    file.unlink(missing_ok=True)
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while announced is not None and _ask(announced) is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _start(file: Path, settings: StandInSettings) -> StandInDaemon:
    before = _read(file)
    printed_in = file.with_suffix(".log")
    is_first = not printed_in.exists()
    given = arguments(settings) if is_first else _without_past(settings)
    with printed_in.open("w+b") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "ticks_standin", *given, "--announce-in", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            # Signals to the processes of a terminal, or of a run, must not reach it.
            start_new_session=True,
        )
        # Collects the exit status: a parent that lives longer would keep a zombie.
        threading.Thread(target=child.wait, name="stand-in-reaper", daemon=True).start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while child.poll() is None and time.monotonic() < deadline:
            announced = _read(file)
            if announced is not None and announced != before and (found := _ask(announced)) is not None:
                return found
            time.sleep(_LOOK_S)
        child.kill()
        log.seek(0)
        printed = log.read().decode(errors="replace").strip() or "it printed nothing"
    if is_first:
        printed_in.unlink(missing_ok=True)
    raise StandInError(f"the stand-in's process did not start: {printed}")


def _without_past(settings: StandInSettings) -> list[str]:
    """The command line of a stand-in with these settings that makes no past."""
    return arguments(settings.model_copy(update={"past_s": 0.0}))


def announce(file: Path, announcement: Announcement) -> None:
    """Write the file, atomically."""
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(announcement))
    draft.replace(file)


def _read(file: Path) -> Announcement | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Announcement)
    except (OSError, msgspec.MsgspecError):
        return None


def _ask(announced: Announcement) -> StandInDaemon | None:
    """None also if another server has its port by now."""
    connection = http.client.HTTPConnection(announced.host, announced.port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        health = msgspec.json.decode(connection.getresponse().read(), type=_Health)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None
    finally:
        connection.close()
    if health.started_ns != announced.started_ns:
        return None
    return StandInDaemon(announced.host, announced.port, health.history_since_ms, announced.pid)


async def serve_until_unused(server: FeedServer, settings: StandInSettings, file: Path, stop: asyncio.Event) -> None:
    """Announce a server in the file; set ``stop`` once it is not used any more.

    That is when nobody has connected or sent a request for :data:`IDLE_S`, when the file is gone, or when the file
    names another stand-in and all connections have ended.
    """
    mine = Announcement(*server.address, server.started_ns, _without_past(settings), os.getpid())
    announce(file, mine)
    connected_at = 0.0
    while not stop.is_set():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), _WATCH_S)
        now = time.monotonic()
        if any(server.connections):
            connected_at = now
        is_idle = now - max(connected_at, server.last_request_at) > IDLE_S
        is_replaced = _read(file) not in (mine, None) and now > connected_at
        if is_idle or is_replaced or not file.exists():
            stop.set()
    if _read(file) == mine:
        file.unlink(missing_ok=True)
