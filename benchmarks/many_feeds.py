"""`feeds`: what many small feeds take in one process, and a feed beside another one."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.processes import ingest, until
from benchmarks.report import Report, interleaved, middle, ratio, table
from benchmarks.workbench import Workbench
from ticks_standin import StandInProcess, StandInSettings

MANY = 50
PER_SECOND = 1_000.0
"""Ticks of each of two feeds that are compared with one."""


def run(workbench: Workbench, report: Report, *, seconds: float, repeats: int) -> None:
    """Fifty feeds of one tick a second; then one feed of a thousand, and two."""
    started, megabytes, cpu, _ = _run(workbench, feeds=MANY, rate=1.0, symbols=1, seconds=seconds)
    report.add("feeds", f"{MANY} feeds of one tick a second: memory", megabytes, "MB")
    report.add("feeds", f"{MANY} feeds of one tick a second: CPU", 100 * cpu, "% of a core")
    cells = [f"{megabytes:.0f} MB", f"{100 * cpu:.0f} % of a core", f"{started:.1f} s"]
    table(
        f"{MANY} feeds of one tick a second in one group",
        ["", "memory (PSS)", "CPU", "all store after"],
        [["", *cells]],
    )
    contenders = {
        f"{count} of {PER_SECOND:,.0f} ticks/s, ns/tick": lambda count=count: (
            _run(workbench, feeds=count, rate=PER_SECOND, symbols=20, seconds=seconds)[3] * 1e9
        )
        for count in (1, 2)
    }
    samples = interleaved(contenders, repeats)
    one, two = samples.values()
    times = ratio(two, one)
    report.add("feeds", "CPU per tick of two feeds / of one", times, "ratio")
    lines = [[name, f"{middle(found) / 1000:,.0f} us"] for name, found in samples.items()]
    table("CPU per tick (medians)", ["feeds", "a tick"], [*lines, ["two / one", f"{times:.2f} x"]])


def _run(
    workbench: Workbench, *, feeds: int, rate: float, symbols: int, seconds: float
) -> tuple[float, float, float, float]:
    """Seconds until all feeds store, megabytes, cores, and CPU seconds per tick."""
    workbench.empty()
    settings = StandInSettings(rate=rate * feeds, accept_any_symbol=True, max_connections=1_000)
    with StandInProcess(settings) as server:
        wanted: dict[str, Any] = {
            f"feed_{number}": {
                "provider": "twelve_data",
                "endpoint": server.url(key=None),
                "synthetic_endpoint": True,
                "api_key_env": "TICKS_BENCH_KEY",
                "group": "small",
                "symbols": [f"S{number}X{symbol}" for symbol in range(symbols)],
            }
            for number in range(feeds)
        }
        with ingest(workbench, wanted, ["ticks_platform.cli.main", "ingest", "small"]) as process:
            started = until("all feeds store", lambda: _number(workbench, "count(DISTINCT feed)") == feeds)
            time.sleep(5.0)
            began, before, cpu = time.monotonic(), _number(workbench, "count(*)"), process.cpu_seconds()
            time.sleep(seconds)
            took, ticks = time.monotonic() - began, _number(workbench, "count(*)") - before
            cpu = process.cpu_seconds() - cpu
            return started, process.megabytes(), cpu / took, cpu / ticks


def _number(workbench: Workbench, what: str) -> int:
    with workbench.database.transaction() as cursor:
        cursor.execute(f"SELECT {what} FROM stocks_real_time")  # noqa: S608  (of this module)
        return int((cursor.fetchone() or (0,))[0])
