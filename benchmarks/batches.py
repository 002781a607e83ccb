"""`batches`: what size and order of a batch cost the server, as CPU of its process, which other work disturbs less."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.frames import Tape
from benchmarks.peers import COPY, decoded_tape, encode
from benchmarks.report import Report, middle, table
from benchmarks.throughput import SYMBOLS
from benchmarks.workbench import Workbench

_SIZES = (10_000, 40_000, 100_000)


class _Cost(NamedTuple):
    microseconds: float
    """CPU of the server's process, of a tick."""
    bytes: float
    """On disk, of a tick."""


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int) -> None:
    """COPY into rows and into the columnstore, with 30 events per frame and with one."""
    lines = []
    for per_frame in (30, 1):
        ticks = decoded_tape(Tape(rows - rows % 3000, per_frame, SYMBOLS, time.time_ns() // 1_000_000))
        samples: dict[tuple[str, int, bool], list[_Cost]] = {}
        encoded = {
            (size, is_sorted): encode(ticks, size, is_sorted=is_sorted)
            for size in _SIZES
            for is_sorted in (False, True)
        }
        for _ in range(repeats):
            for store in ("rows", "columnstore") if workbench.has_direct_compress else ("rows",):
                for (size, is_sorted), batches in encoded.items():
                    cost = _copy(workbench, batches, len(ticks.events), compress=store == "columnstore")
                    samples.setdefault((store, size, is_sorted), []).append(cost)
        for (store, size, is_sorted), costs in samples.items():
            words = "by symbol" if is_sorted else "as they came"
            used = [cost.microseconds for cost in costs]
            report.add(f"batches, {per_frame} a frame", f"{store}, {size:,}, {words}", middle(used), "µs", used)
            cells = [f"{min(used):.2f} to {max(used):.2f}", f"{costs[0].bytes:.0f}"]
            lines.append([f"{per_frame} a frame → {store}", f"{size:,}", words, f"{middle(used):.2f}", *cells])
    headings = ["", "batch", "order", "CPU µs a tick", "range", "bytes a tick"]
    table(f"The server's process, {rows:,} ticks (medians of {repeats})", headings, lines)


def _copy(workbench: Workbench, batches: list[bytes], count: int, *, compress: bool) -> _Cost:
    workbench.empty()
    connection = workbench.database.connect("benchmark batches")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            used = Path(f"/proc/{(cursor.fetchone() or (0,))[0]}/schedstat")
            if compress:
                cursor.execute("SET timescaledb.enable_direct_compress_copy = on")
        before = _nanoseconds(used)
        for batch in batches:
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(COPY, io.BytesIO(batch), size=1 << 20)
        taken = _nanoseconds(used) - before
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT hypertable_size('stocks_real_time')")
            size = int((cursor.fetchone() or (0,))[0])
    finally:
        connection.close()
    return _Cost(taken / 1000 / count, size / count)


def _nanoseconds(schedstat: Path) -> float:
    """CPU of a process; NaN if the server is on another machine."""
    try:
        return float(schedstat.read_text(encoding="ascii").split()[0])
    except OSError:
        return float(np.nan)
