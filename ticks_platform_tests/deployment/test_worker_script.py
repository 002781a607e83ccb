"""`deploy/celery/worker.sh`, with a program in place of Celery, which test_celery.py has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ticks_platform_tests.support.dagster_dev import eventually

PROGRAM = f"""#!{sys.executable}
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, lambda number, _: sys.exit(40 + number))
print("up", os.getpid(), *sys.argv[1:], flush=True)
while True:
    signal.pause()
"""
"""In place of `celery`: it waits for a signal, and its exit code tells which."""


class Script(NamedTuple):
    """A running worker.sh."""

    process: subprocess.Popen[bytes]
    output: Path

    def workers(self) -> list[int]:
        """The process ids of the workers that it has started, in order."""
        return [int(found) for found in re.findall(r"^up (\d+)", self.output.read_text(), re.MULTILINE)]

    def worker(self, number: int) -> int:
        """The process id of a worker, once that is up."""
        eventually(f"worker {number} is up", 60, lambda: len(self.workers()) >= number)
        return self.workers()[number - 1]


@pytest.fixture
def start(tmp_path: Path, repository_root: Path) -> Iterator[Callable[..., Script]]:
    """Starts worker.sh, with a program in place of `celery`."""
    program = tmp_path / "bin" / "celery"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    started = []

    def start(*arguments: str) -> Script:
        output = tmp_path / "output"
        with output.open("wb") as log:
            process = subprocess.Popen(
                ["sh", repository_root / "deploy" / "celery" / "worker.sh", *arguments],
                env={
                    "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
                    "DAGSTER_HOME": str(tmp_path),
                    "TICKS_CELERY_BROKER": "redis://127.0.0.1:1/0",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # What is ignored when a shell starts cannot be caught in it, as under nohup.
                preexec_fn=lambda: [
                    signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGQUIT)
                ],
                start_new_session=True,
            )
        started.append(process)
        return Script(process, output)

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_worker_that_breaks_is_started_again(start: Callable[..., Script]) -> None:
    script = start("feeds", "5", "-n", "name")
    os.kill(script.worker(1), signal.SIGKILL)
    os.kill(script.worker(2), signal.SIGTERM)
    script.worker(3)
    said = script.output.read_text()
    for status in (137, 40 + signal.SIGTERM):
        assert f"the worker of queue feeds ended with status {status}; it is started again" in said
    assert said.count("-A dagster_celery.app worker -Q feeds -c 5 -n feeds@%h --loglevel INFO -n name") == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_that_is_told_to_end_ends(start: Callable[..., Script], number: signal.Signals) -> None:
    script = start("feeds", "5")
    script.worker(1)
    os.kill(script.process.pid, number)
    assert script.process.wait(60) == 40 + number
    assert len(script.workers()) == 1


def test_a_signal_while_it_waits_to_start_another_ends_it(start: Callable[..., Script]) -> None:
    script = start("feeds", "5")
    os.kill(script.worker(1), signal.SIGKILL)
    eventually("it is to be started again", 60, lambda: "started again" in script.output.read_text())
    os.kill(script.process.pid, signal.SIGTERM)
    script.process.wait(60)
    assert len(script.workers()) <= 2


def test_what_is_missing_is_said(start: Callable[..., Script]) -> None:
    script = start("feeds")
    assert script.process.wait(60) == 2
    assert "usage: sh worker.sh QUEUE RUNS" in script.output.read_text()
