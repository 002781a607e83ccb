"""The stand-in inside the process that uses it, on a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from types import TracebackType
from typing import Any

from ticks_standin.commands import Command, Result, StandInError
from ticks_standin.controls import Controls
from ticks_standin.dispatch import obey
from ticks_standin.server import FeedServer
from ticks_standin.settings import StandInSettings
from ticks_standin.urls import http_url, provider_url

_START_TIMEOUT_S = 10.0


class StandIn(Controls):
    """A stand-in that runs within a ``with`` block, for tests: its account and its faults are method calls.

    >>> with StandIn(StandInSettings(rate=0, record=True)) as stand_in:
    ...     connect_to(stand_in.url("twelve_data", key="demo"))
    ...     stand_in.send_exactly(1_000)

    Raises:
        StandInError: on entry, if it cannot listen.
    """

    def __init__(self, settings: StandInSettings | None = None) -> None:
        self._settings = settings or StandInSettings()
        self._thread: threading.Thread | None = None
        self._where: tuple[str, int] | None = None
        self._ready: concurrent.futures.Future[tuple[str, int]]
        self._loop: asyncio.AbstractEventLoop
        self._server: FeedServer
        self._stop: asyncio.Event

    def __enter__(self) -> StandIn:
        self._ready = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stand-in", daemon=True)
        self._thread.start()
        try:
            self._where = self._ready.result(_START_TIMEOUT_S)
        except OSError as error:
            raise StandInError(f"the stand-in cannot listen on port {self._settings.port}: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            self._server = FeedServer(self._settings)
            await self._server.start()
        except (OSError, StandInError) as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(self._server.address)
        await self._stop.wait()
        await self._server.stop()

    def _call(self, command: Command, result: type[Result], timeout_s: float = 10.0) -> Result:
        if self._thread is None or not self._thread.is_alive():
            raise StandInError("the stand-in is not running")
        done: concurrent.futures.Future[Any] = asyncio.run_coroutine_threadsafe(obey(self._server, command), self._loop)
        try:
            answer: Result = done.result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            raise StandInError(f"the stand-in did not answer within {timeout_s:g} s") from error
        return answer

    def url(self, provider: str = "twelve_data", key: str | None = "demo", market: str = "stocks") -> str:
        """WebSocket URL of a provider's feed; without the key if it is None, for a client that sends it in a header.

        ``market`` is Polygon's, whose clients send the key in a message.
        """
        return provider_url(*self._address(), provider, key, market)

    @property
    def http_url(self) -> str:
        """Base URL of what is served over HTTP."""
        return http_url(*self._address())

    def _address(self) -> tuple[str, int]:
        if self._where is None:
            raise StandInError("the stand-in has not been started")
        return self._where
