"""The stand-in inside the process that uses it, on a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from types import TracebackType
from typing import Any

from ticks_standin.commands import Commands
from ticks_standin.control import RemoteControl
from ticks_standin.errors import StandInError
from ticks_standin.remote import Command, Result
from ticks_standin.server.feed_server import FeedServer
from ticks_standin.settings import StandInSettings

_START_TIMEOUT_S = 10.0


class StandIn(RemoteControl):
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
        self._commands: Commands
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
            server = FeedServer(self._settings)
            await server.start()
        except (OSError, StandInError) as error:
            self._ready.set_exception(error)
            return
        self._commands = Commands(server)
        self._ready.set_result(server.address)
        await self._stop.wait()
        await server.stop()

    def _call(self, command: Command[Result], arguments: dict[str, Any], timeout_s: float) -> Result:
        if self._thread is None or not self._thread.is_alive():
            raise StandInError("the stand-in is not running")
        answer = asyncio.run_coroutine_threadsafe(command.run(self._commands, arguments), self._loop)
        try:
            return answer.result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            raise StandInError(f"the stand-in did not answer within {timeout_s:g} s") from error

    @property
    def _address(self) -> tuple[str, int]:
        if self._where is None:
            raise StandInError("the stand-in has not been started")
        return self._where
