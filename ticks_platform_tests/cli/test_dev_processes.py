"""The processes of `ticks dev` with another command in Dagster's place."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ticks_platform_tests.support.dagster_dev import eventually

RUN = """
import socket, sys
from pathlib import Path
from ticks_platform.cli.dev_output import Condenser
from ticks_platform.cli.dev_processes import Ready, Stop, run

class Live:
    def keep_running(self): pass
    def stop(self): pass
    def kill(self, seconds): pass

folder = Path(sys.argv[1])
command = ["/bin/sh", "-c", sys.argv[2]]
ready, stop = Ready("", 0, lambda _: "ready"), Stop()
sys.exit(run(command, folder, None, live=Live(), ready=ready, stop=stop, condenser=Condenser()))
"""

# One of them has left its parent, as runs and code servers do, and one ignores an interrupt.
COMMAND = "(sh -c 'trap \"\" INT; echo $$ > one; while :; do sleep 0.1; done' &); echo $$ > two; sleep 600"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_all_of_them_end_when_it_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), COMMAND], env={**os.environ})
    try:
        files = [tmp_path / name for name in ("one", "two")]
        eventually("both run", 60, lambda: all(file.exists() and file.read_text().strip() for file in files))
        pids = [int(file.read_text()) for file in files]
        assert all(map(is_alive, pids))
    finally:
        process.kill()
        process.wait()
    eventually("both have ended", 30, lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(("code", "told"), [(0, 1), (7, 7)])
def test_dagster_that_ends_by_itself_is_a_failure(tmp_path: Path, code: int, told: int) -> None:
    """Dagster ends with 0 also where one of its services was killed."""
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path), f"exit {code}"], env={**os.environ}, timeout=60)
    assert done.returncode == told


def test_nothing_runs_if_it_is_killed_before_there_is_a_guard(tmp_path: Path) -> None:
    killed = (
        "import os, subprocess; from ticks_platform.cli import dev_processes\n"
        "dev_processes._guard = lambda _: os.kill(os.getpid(), 9)\n"
        "popen = subprocess.Popen\n"
        "subprocess.Popen = lambda *given, **options: popen(*given, **options, pass_fds=(int(sys.argv[3]),))\n"
    )
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        # Closed once all that the process started, which would inherit it, has ended.
        command = [sys.executable, "-c", killed + RUN, str(tmp_path), "echo $$ > ran; sleep 600", f"{writing}"]
        process = subprocess.Popen(command, env={**os.environ}, pass_fds=(writing,))
        os.close(writing)
        assert process.wait(60) == -9
        has_ended, _, _ = select.select([pipe], [], [], 30)
    ran = tmp_path / "ran"
    if ran.exists():
        os.kill(int(ran.read_text()), signal.SIGKILL)
        pytest.fail("the command ran without a guard")
    assert has_ended, "its shell waits still"
