"""The processes of `ticks dev`: Dagster's, the live page's, and how all of them end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ticks_platform import signals
from ticks_platform.cli.dev_output import Condenser, follow
from ticks_platform.cli.output import PROGRESS_SECONDS, echo

STOP_SECONDS = 5.0
"""Seconds that Dagster and its runs have to end after Ctrl-C; what is left then is killed. A feed needs a second, and
what a killed run has received waits in its journal."""

LIVE_RESTART_SECONDS = 5.0
"""Seconds between starts of the live page, should it end by itself."""

_GUARD = f"""
read -r _
kill -s INT -- "-$1" || exit
for _ in $(seq {int(STOP_SECONDS / 0.2)}); do
    sleep 0.2
    kill -s 0 -- "-$1" || exit
done
kill -s KILL -- "-$1"
"""
"""Of a shell: ends a group once nobody has the other end of its input any more, as of a process that was killed."""

_GATE = """
read -r _ && exec "$@" < /dev/null
"""
"""Of a shell: becomes a command once it is told to, and ends if nobody can tell it any more."""

_LOOK_SECONDS = 0.2
_MAKE = ("make", "gmake")


def say(text: str, *, err: bool = False) -> None:
    """Print a text, unless nobody can read it: the terminal is closed, or the disk of a log is full."""
    with suppress(OSError):
        echo(text, err=err)


class LivePage:
    """The process of the live page. It is started again should it end; the socket stays, so its address does too."""

    def __init__(self, listening: socket.socket, root: Path, environment: dict[str, str]) -> None:
        self._listening = listening
        self._root = root
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = float("-inf")

    def keep_running(self) -> None:
        """Start it, if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._started_at + LIVE_RESTART_SECONDS:
            return
        if self._process is not None:
            say(f"the live page ended with exit code {self._process.returncode}; starting it again", err=True)
        self._started_at = time.monotonic()
        fd = self._listening.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ticks_platform.cli.main", "live", "--fd", str(fd)],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self, seconds: float) -> None:
        """Kill it if it does not end within these seconds."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self._process.kill()
            self._process.wait()


class Ready:
    """Says where everything is once the web UI accepts connections, so that it comes after the lines of the start."""

    def __init__(self, host: str, port: int, text: Callable[[float], str]) -> None:
        """`text` is what to say, given the seconds since now."""
        self._address = (host, port)
        self._text: Callable[[float], str] | None = text
        self._began = self._said_at = time.monotonic()

    def look(self) -> None:
        """Look whether it does, and say so once; until then, how long it has taken so far."""
        if self._text is None:
            return
        now = time.monotonic()
        if now >= self._said_at + PROGRESS_SECONDS:
            self._said_at = now
            say(f"Dagster: starting, {now - self._began:.0f} s so far")
        if self._address[1]:
            try:
                socket.create_connection(self._address, timeout=1.0).close()
            except OSError:
                return
        say(self._text(time.monotonic() - self._began))
        self._text = None


class Stop:
    """The signals that end `ticks dev`: SIGINT, as of Ctrl-C, SIGTERM, and SIGHUP, as of a terminal that is closed."""

    def __init__(self) -> None:
        self.is_wanted = threading.Event()
        self.is_urgent = threading.Event()
        """It was asked for again, so that nothing is waited for."""

    def handle(self) -> None:
        """Handle them, also where the shell has set them to be ignored, as for a command with `&` in a script."""
        # Dagster is in a session of its own, and would go on unseen. Who starts with nohup wants that.
        hangs_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        signals.call_on(self._handle, signal.SIGINT, signal.SIGTERM, *hangs_up)

    def look_at_make(self) -> None:
        """Stop if `make dev` was interrupted alone: it passes on SIGTERM, and expects SIGINT to reach all by itself."""
        with suppress(OSError, ValueError, KeyError):
            lines = Path(f"/proc/{os.getppid()}/status").read_text(encoding="utf-8").splitlines()
            of_parent = dict(line.split(":\t", 1) for line in lines)
            # It waits for its children in its handler, in which the signal is blocked.
            if of_parent["Name"] in _MAKE and int(of_parent["SigBlk"], 16) >> (signal.SIGINT - 1) & 1:
                self.is_wanted.set()

    def _handle(self) -> None:
        if self.is_wanted.is_set():
            self.is_urgent.set()
        self.is_wanted.set()


def run(
    command: Sequence[str],
    root: Path,
    environment: dict[str, str],
    *,
    live: LivePage,
    ready: Ready,
    stop: Stop,
    condenser: Condenser,
) -> int:
    """Run until it ends or a signal comes; then end it with all its processes. Returns the exit code, which is not 0 if
    it ended by itself: Dagster's is 0 also where one of its services was killed, and a service manager starts again
    what has failed.

    In a session of its own, since Dagster ends all of its processes only if each of them gets the signal.
    """
    reading, writing = os.pipe()
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GATE, "ticks-dev", *command],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    os.close(writing)
    guard = _guard(process.pid)
    # Not before there is a guard, or this process could be killed between the two.
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(b"\n")
    output = follow(reading, condenser, say)
    try:
        while process.poll() is None and not stop.is_wanted.wait(_LOOK_SECONDS):
            stop.look_at_make()
            live.keep_running()
            ready.look()
        condenser.is_stopping = stop.is_wanted.is_set()
        live.stop()
        if process.poll() is None:
            say("stopping; a second Ctrl-C kills")
        _interrupt(process.pid, stop)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        guard.kill()
        guard.wait()
        # It has had as long as Dagster.
        live.kill(0.2)
        output.join(1.0)
    return 0 if stop.is_wanted.is_set() else process.returncode or 1


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Have this group ended should this process be killed: it is in a session of its own, and would go on unseen."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "ticks-dev-guard", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _interrupt(group: int, stop: Stop) -> None:
    """Interrupt all processes of a group, and wait for their end, but not for longer than STOP_SECONDS."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGINT)
        while time.monotonic() < deadline and not stop.is_urgent.wait(_LOOK_SECONDS):
            # Processes whose parent has ended are in it too.
            with suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)
            os.killpg(group, 0)
