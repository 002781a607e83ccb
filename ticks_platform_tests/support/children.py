"""Processes that can be killed and frozen, forked from a server that has imported the ingestion already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ticks_platform import signals

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(
    [
        "ticks_platform_tests.faults.ingester",
        "ticks_platform_tests.field.machine",
        "ticks_platform_tests.support.follower",
        "ticks_platform_tests.support.repairing",
        *(f"ticks_platform.cli.{name}" for name in ("database", "doctor", "explain", "init", "journals", "status")),
    ]
)


class Child:
    """A process that runs a function, in the environment of this one. It ends soon after this one does."""

    def __init__(self, function: Callable[..., int | None], *arguments: Any, log: Path | None = None) -> None:
        """The function returns the exit code. Output is appended to `log`."""
        self._process = _forked.Process(target=_run, args=(dict(os.environ), log, function, arguments), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it is alive; -N if signal N ended it."""
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is alive."""
        if self._process.exitcode is None:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait for its end. Raises AssertionError if it does not end in time."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"process {self._process.pid} did not end within {seconds:g} s"

    def kill(self) -> None:
        """Kill it with SIGKILL, frozen or not, and wait until it has ended."""
        self._process.kill()
        self._process.join()


def stop_requested() -> threading.Event:
    """For a child: an event that is set on SIGTERM, or when the process that started it ends."""
    requested = threading.Event()
    signals.call_on(requested.set, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), requested.set()), daemon=True).start()
    return requested


def _run(
    environment: dict[str, str], log: Path | None, function: Callable[..., int | None], arguments: tuple[Any, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if log is not None:
        with log.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
    sys.exit(function(*arguments))
