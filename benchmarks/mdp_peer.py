"""A peer: mdp-outbox, from a WebSocket through Redis into its own hypertables. `make bench-peers` installs it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import sqlalchemy

from benchmarks.frames import NOW, Tape
from benchmarks.workbench import Workbench

SCHEMA = "mdp"
TABLE = f"{SCHEMA}.trades"


class Settings(NamedTuple):
    """What was tried with `python -m benchmarks peer-settings`; the default is what is measured."""

    batch: int = 1_000
    """Trades that it reads of each symbol at once, and so in one transaction: its own default."""


BEST = Settings()

_SECONDS = 240.0
_COMMAND = Path(sys.prefix) / "mdp-outbox" / "bin" / "mdp"


def is_installed() -> bool:
    """Whether it can be run: it needs Python 3.12 or newer and a Redis server."""
    return _COMMAND.exists() and any(
        (Path(folder) / "redis-server").exists() for folder in os.environ["PATH"].split(os.pathsep)
    )


class EngineTape(Tape):
    """The same trades in the form of a matching engine, which it reads from a WebSocket."""

    __slots__ = ()

    def names(self) -> list[str]:
        """Pairs: it takes nothing else."""
        return [f"{name}-USD" for name in super().names()]

    def unstamped(self) -> list[bytes]:
        """All frames, in order, to be stamped when they are sent."""
        draw = random.Random(self.events).random  # noqa: S311
        names = self.names()
        made = [
            f'{{"type":"trade","trade_id":{number},"symbol":"{names[int(draw() * len(names))]}",'
            f'"price":{100 + 50 * draw():.3f},"qty":{1 + number % 500},"taker_side":"buy","ts":{NOW.decode()}}}'
            for number in range(self.first, self.first + self.events)
        ]
        return [f"[{','.join(made[at : at + self.per_frame])}]".encode() for at in range(0, len(made), self.per_frame)]


def wait_until_stored(workbench: Workbench, expected: int) -> float:
    """Wait for all trades; returns the time. Raises RuntimeError if they do not come."""
    until = time.monotonic() + _SECONDS
    while (stored := workbench.count(TABLE)) < expected:
        if time.monotonic() > until:
            raise RuntimeError(f"mdp-outbox stored {stored:,} of {expected:,} trades in {_SECONDS:g} s")
        time.sleep(0.1)
    return time.time()


@contextlib.contextmanager
def running(workbench: Workbench, tape: Tape, url: str, settings: Settings = BEST) -> Iterator[None]:
    """Run Redis and its processes, with empty tables."""
    with workbench.database.autocommit() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
    given = sqlalchemy.make_url(workbench.url).update_query_dict({"options": f"-csearch_path={SCHEMA},public"})
    port = _free_port()
    environment = {
        **os.environ,
        "MDP_DATABASE_URL": given.render_as_string(hide_password=False),
        "MDP_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "MDP_SYMBOLS": ",".join(tape.names()),
        "MDP_SOURCE": "engine",
        "MDP_ENGINE_URL": url,
        "MDP_BATCH_SIZE": str(settings.batch),
        # A trade of a minute that is over is not stored, and it falls behind in here.
        "MDP_ALLOWED_LATENESS_MS": "3600000",
        "MDP_LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory(prefix="ticks_bench_") as folder, contextlib.ExitStack() as stack:
        # As its compose file has it: a file that is synchronized each second.
        redis = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes")
        stack.enter_context(_process(environment, *redis))
        _wait_for(port)
        subprocess.run((_COMMAND, "migrate"), env=environment, check=True, capture_output=True)
        for work in ("aggregate", "ingest"):
            stack.enter_context(_process({**environment, "MDP_METRICS_PORT": str(_free_port())}, str(_COMMAND), work))
        yield


@contextlib.contextmanager
def _process(environment: Mapping[str, str], *command: str) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
