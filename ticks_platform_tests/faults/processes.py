"""Ingesters and a database server, as processes that can be killed and frozen."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import embedded_timescale
from ticks_platform_tests.faults.ingester import Order, main
from ticks_platform_tests.support.children import Child

PATIENCE = 60.0
"""Seconds after which a condition that must come true counts as failed."""

_POLL_INTERVAL = 0.01


class CampaignError(AssertionError):
    """A process did not end, or not as expected, or did not begin to stream."""


class Ingester(Child):
    """A process that ingests."""

    def __init__(self, order: Order, log: Path) -> None:
        super().__init__(main, order, log=log)
        self.run = order.run


class EmbeddedServer:
    """An embedded database that may be killed and frozen."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.url = embedded_timescale.ensure_running(data_dir)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it has ended."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        wait_until("the end of the database", lambda: not _alive(pid))

    def start(self) -> None:
        """Start it again."""
        assert embedded_timescale.ensure_running(self._data_dir) == self.url

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it within the block."""
        pid = self._pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it."""
        embedded_timescale.stop(self._data_dir)

    def _pid(self) -> int:
        pid = embedded_timescale.status(self._data_dir).pid
        assert pid is not None
        return pid


def wait_until(what: str, condition: Callable[[], bool], within: float | None = None) -> None:
    """Wait until the condition holds. Raises CampaignError if it does not within so many seconds, or PATIENCE."""
    within = PATIENCE if within is None else within
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise CampaignError(f"not within {within:g} s: {what}")
        time.sleep(_POLL_INTERVAL)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
