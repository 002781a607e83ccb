"""The process of the page: its socket on loopback, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from ticks_platform.live import app
from ticks_platform.live.hub import Hub
from ticks_platform.live.queries import Reader
from ticks_platform.live.viewers import MOST
from ticks_platform.monitoring.exporter import AllFeeds
from ticks_platform.timescale.database import Database

HOST = "127.0.0.1"
DEFAULT_PORT = 3001
PORTS_TRIED = 20
"""How many ports after a taken one are tried before any free one is used."""

_PARENT_SECONDS = 1.0


def listen(port: int) -> socket.socket:
    """A socket on loopback that listens on this port, or on one after it if it is taken; 0 is any that is free."""
    for candidate in (*range(port, min(port + PORTS_TRIED, 65_536)), 0) if port else (0,):
        with contextlib.suppress(OSError):
            return socket.create_server((HOST, candidate), backlog=128)
    raise OSError("no port on loopback is free")


def address(listening: socket.socket) -> str:
    """The URL of the page that is served on a socket."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Its own handlers raise the signal again at the end.
        yield


class Page:
    """The page on a socket."""

    def __init__(self, listening: socket.socket, database: Database, project: Path) -> None:
        static = app.Static()
        self.hub = Hub(Reader(database), project, static.version)
        self._listening = listening
        self._server = _Server(
            uvicorn.Config(
                app.create(self.hub, static, AllFeeds(database, project / "feeds.yaml")),
                # What comes along with Dagster's webserver may differ; these are always there.
                loop="asyncio",
                http="h11",
                ws="none",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,
                limit_concurrency=MOST + 50,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listening])

    def stop(self) -> None:
        """End, with the streams of all viewers. To be called in the loop of `run`."""
        self.hub.end_streams()
        self._server.should_exit = True


def serve(listening: socket.socket, database: Database, project: Path, *, parent: int | None = None) -> None:
    """Serve until SIGINT or SIGTERM, or until the process `parent` is no longer the parent of this one."""
    page = Page(listening, database, project)
    asyncio.run(_serve(page, parent))
    if page.hub.is_asking:
        # A statement that is not answered would keep the process from ending.
        os._exit(0)


async def _serve(page: Page, parent: int | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, page.stop)
    watching = None if parent is None else asyncio.ensure_future(_end_with(parent, page))
    try:
        await page.run()
    finally:
        if watching is not None:
            watching.cancel()


async def _end_with(parent: int, page: Page) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_SECONDS)
    page.stop()
