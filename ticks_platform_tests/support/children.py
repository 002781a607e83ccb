"""Processes that can be killed and frozen, each forked off one that has loaded the ingestion, which takes a while."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(
    [
        "ticks_platform_tests.faults.ingester",
        "ticks_platform_tests.support.follower",
        "ticks_platform_tests.support.repairing",
    ]
)


class Child:
    """A process that runs a function, in the environment of this one. It does not outlive this one for long."""

    def __init__(self, function: Callable[..., int | None], *arguments: Any, log: Path | None = None) -> None:
        """What the function returns is the exit code. `log` is where the output goes, after what is in there."""
        self._process = _forked.Process(target=_run, args=(dict(os.environ), log, function, arguments), daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        """None while it is alive; the number of the signal that ended it, negative."""
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is alive."""
        if self._process.exitcode is None:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait for its end. Raises AssertionError when that does not come in time."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"not within {seconds:g} s: the end of process {self._process.pid}"

    def kill(self) -> None:
        """`kill -9`, frozen or not, if it is alive, and wait until it is gone."""
        self._process.kill()
        self._process.join()


def told_to_end() -> threading.Event:
    """For a child: set as soon as it gets SIGTERM, or the process that started it is no more."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), told.set()), daemon=True).start()
    return told


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
