"""The platform's ingestion in a separate process, measured from inside."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.children import Child, child
from benchmarks.frames import Tape
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import STAND_IN, FeedSettings, JournalSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import columnstore
from ticks_platform.timescale.database import Database

FEED = "benchmark"

_JOURNAL_MEGABYTES = 8192
_GROUP = 512
_SECONDS = 240.0


class Task(NamedTuple):
    """What to ingest."""

    tape: Tape
    url: str
    database_url: str
    journal: Path
    columnstore: bool
    expected: int
    """Number of ticks after which it ends."""


class Outcome(NamedTuple):
    """Time and memory of an ingestion."""

    began: float
    """Start, in seconds since the Unix epoch."""
    ended: float
    """Commit of the last tick, in seconds since the Unix epoch."""
    cpu_seconds: float
    cpu_by_thread: dict[str, float]
    peak_megabytes: float
    base_megabytes: float
    """Resident memory before the start, with everything imported."""
    batches: int
    preparing: float
    """Seconds of the clock in which a batch is decoded and encoded."""
    committing: float
    """Seconds of the clock in which a batch is stored and committed, which is at the same time."""
    latencies: npt.NDArray[np.float32]
    """From arrival to commit, in seconds, for every tick."""


@contextlib.contextmanager
def ingestion(task: Task) -> Iterator[Child]:
    """Run an ingestion in a separate process, which answers with its `Outcome`."""
    with child(_main, task) as process:
        yield process


def fill_journal(path: Path, frames: Iterable[bytes]) -> None:
    """Append the frames to a journal, as if they had been received now."""
    left = iter(frames)
    journal = Journal(path, feed=FEED, synthetic=True, max_bytes=_JOURNAL_MEGABYTES << 20)
    try:
        while group := list(itertools.islice(left, _GROUP)):
            now = time.time_ns()
            journal.append([Frame(data, now, 1) for data in group], epoch=1)
    finally:
        journal.close()


def _main(pipe: Connection, task: Task) -> None:
    if not task.columnstore:
        # No setting disables direct compression.
        columnstore._is_supported = lambda cursor: False
    settings = FeedSettings(
        name=FEED,
        provider="twelve_data",
        endpoint=STAND_IN,
        symbols=tuple(task.tape.names()),  # type: ignore[arg-type]
        journal=JournalSettings(max_megabytes=_JOURNAL_MEGABYTES),
    )
    preparing, committing = _timed(Loader, "_prepared"), _timed(Loader, "_commit")
    running = Ingestion(
        feed=settings,
        connector=task.tape.connector(task.url),
        database=Database(task.database_url),
        owner="benchmark",
        journal_file=task.journal,
    )
    done = threading.Event()
    commits: list[tuple[npt.NDArray[np.int64], int]] = []
    count = running.metrics.committed

    def committed(batch: DecodedBatch, stored: Any, *, at: int) -> None:
        count(batch, stored, at=at)
        commits.append((((at - batch.ticks.received_at) // 1000).astype(np.int32), at))
        if running.metrics.loaded >= task.expected:
            done.set()

    running.metrics.committed = committed  # type: ignore[method-assign]
    base = _status_megabytes("VmRSS")
    cpu, began = time.process_time(), time.time()
    with running:
        deadline = time.monotonic() + _SECONDS
        while not done.wait(0.1):
            running.wait(0)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not loaded within {_SECONDS:g} s: {task.expected} ticks expected, {running.progress()}"
                )
        used = time.process_time() - cpu
        by_thread = _cpu_by_thread()
    microseconds = np.concatenate([latencies for latencies, _ in commits])
    pipe.send(
        Outcome(
            began,
            commits[-1][1] / 1e9,
            used,
            by_thread,
            _status_megabytes("VmHWM"),
            base,
            len(commits),
            sum(preparing),
            sum(committing),
            (microseconds / 1e6).astype(np.float32),
        )
    )


def _timed(owner: type, name: str) -> list[float]:
    """Seconds of each call of a method from now on."""
    method: Callable[..., Any] = getattr(owner, name)
    taken: list[float] = []

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            taken.append(time.perf_counter() - began)

    setattr(owner, name, timed)
    return taken


def _cpu_by_thread() -> dict[str, float]:
    """CPU seconds of each thread of this process."""
    tick = os.sysconf("SC_CLK_TCK")
    used = {}
    for thread in threading.enumerate():
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii")
            fields = stat.rpartition(")")[2].split()
            used[thread.name] = (int(fields[11]) + int(fields[12])) / tick
    return used


def _status_megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return float("nan")
