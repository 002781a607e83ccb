"""``python -m benchmarks [name …]``: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable

from benchmarks import (
    batches,
    clean_day,
    endurance,
    full_tape,
    importing,
    latency,
    many_feeds,
    memory,
    peer_settings,
    proof,
    reading,
    stages,
    symbols,
    throughput,
)
from benchmarks.report import Report
from benchmarks.workbench import open_workbench

_NAMES = (*throughput.PARTS, "latency", "memory", "symbols", "profile", "reading")
_ON_REQUEST = (
    *throughput.PEERS,
    throughput.TWO,
    "peer-settings",
    "batches",
    "endurance",
    "tape",
    "feeds",
    "import",
    "proof",
    "clean-day",
)


def main() -> int:
    """Run the named benchmarks, or all, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure the platform and its peers. Benchmarks: {', '.join(_NAMES)}, all by default; "
        f"on request: {', '.join(_ON_REQUEST)}.",
    )
    parser.add_argument("names", nargs="*", metavar="name", help="benchmark to run")
    parser.add_argument(
        "--rows", type=int, help="ticks per run (default: 2,000,000; symbols: 501,000; memory: 5,000,000)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported (default: 3)")
    parser.add_argument("--minutes", type=int, default=60, help="duration of endurance and clean-day (default: 60)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once, to see that it works")
    given = parser.parse_args()
    unknown = set(given.names) - {*_NAMES, *_ON_REQUEST}
    if unknown:
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    logging.basicConfig(level=logging.ERROR)
    names = given.names or _NAMES
    repeats = 1 if given.quick else given.repeats
    rows = given.rows or (60_000 if given.quick else 2_000_000)
    backlog = given.rows or (500_000 if given.quick else 5_000_000)
    with open_workbench() as workbench:
        print(f"Server: {workbench.description}; {os.cpu_count()} cores; Python {sys.version.split()[0]}")
        report = Report(workbench.description)
        parts = [name for name in (*throughput.PARTS, *throughput.PEERS, throughput.TWO) if name in names]
        runs: dict[str, Callable[[], None]] = {
            "latency": lambda: latency.run(
                workbench, report, seconds=3 if given.quick else 10, repeats=repeats, tutorial="tutorial" in names
            ),
            "memory": lambda: memory.run(workbench, report, rows=backlog),
            "symbols": lambda: symbols.run(workbench, report, rows=given.rows or min(rows, 501_000), repeats=repeats),
            "peer-settings": lambda: peer_settings.run(workbench, report, rows=given.rows or 120_000, repeats=repeats),
            "batches": lambda: batches.run(workbench, report, rows=given.rows or 400_000, repeats=repeats),
            "endurance": lambda: endurance.run(workbench, report, minutes=given.minutes),
            "tape": lambda: full_tape.run(workbench, report, bursts=2 if given.quick else 12),
            "feeds": lambda: many_feeds.run(workbench, report, seconds=5 if given.quick else 20, repeats=repeats),
            "import": lambda: importing.run(workbench, report, rows=given.rows or 2 * backlog, repeats=repeats),
            "reading": lambda: reading.run(workbench, report, rows=backlog, repeats=repeats),
            "proof": lambda: proof.run(
                workbench,
                report,
                rows=given.rows or (2_000_000 if given.quick else 100_000_000),
                rounds=repeats,
                interval=30.0 if given.quick else proof.INTERVAL,
            ),
            "clean-day": lambda: clean_day.run(
                workbench,
                report,
                minutes=4 if given.quick else given.minutes,
                rows=given.rows or (500_000 if given.quick else 10_000_000),
            ),
            "profile": lambda: stages.run(report, rows=min(rows, 300_000), repeats=repeats),
        }
        if parts:
            throughput.run(workbench, report, rows=rows, repeats=repeats, parts=parts)
        for name, run in runs.items():
            if name in names:
                run()
        report.print_json()
    return 0


if __name__ == "__main__":
    sys.exit(main())
