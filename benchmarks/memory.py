"""`memory`: resident memory of an ingestion that loads a large backlog."""

from __future__ import annotations

import itertools
import time

from benchmarks.frames import EVENTS_PER_MILLISECOND, Tape
from benchmarks.ingesting import Task, fill_journal
from benchmarks.report import Report, table
from benchmarks.throughput import SYMBOLS, load
from benchmarks.workbench import Workbench

_PIECE = 100_000
"""Events that are generated at a time."""


def run(workbench: Workbench, report: Report, *, rows: int) -> None:
    """Load a backlog with 30 events per frame, then with one, and a hundredth of each for comparison."""
    lines = []
    for per_frame in (30, 1):
        peaks = {}
        for events in (max(rows // 100, 3000), rows):
            piece = min(_PIECE, events)
            tape = Tape(piece - piece % per_frame, per_frame, SYMBOLS, time.time_ns() // 1_000_000)
            pieces = max(events // tape.events, 1)
            total = pieces * tape.events
            # Like a feed's: each trade is unique, and times never decrease.
            tapes = (
                tape._replace(
                    first=number * tape.events,
                    until=tape.until - (pieces - 1 - number) * tape.events // EVENTS_PER_MILLISECOND,
                )
                for number in range(pieces)
            )
            workbench.empty()
            journal = workbench.journal_file()
            fill_journal(journal, itertools.chain.from_iterable(each.frames() for each in tapes))
            size = journal.stat().st_size / 2**20
            outcome = load(workbench, Task(tape, "", workbench.url, journal, columnstore=True, expected=total))
            journal.unlink()
            peaks[events] = outcome.peak_megabytes
            name = f"{total:,} events, {per_frame} a frame"
            report.add("memory", f"peak, {name}", outcome.peak_megabytes, "MB")
            report.add("memory", f"loading, {name}", total / (outcome.ended - outcome.began), "rows/s")
            cells = [f"{size:,.0f} MB", f"{outcome.base_megabytes:,.0f} MB", f"{outcome.peak_megabytes:,.0f} MB"]
            ratio = outcome.peak_megabytes / next(iter(peaks.values()))
            lines.append([name, *cells, f"{ratio:.2f} x", f"{total / (outcome.ended - outcome.began):,.0f}"])
        report.add("memory", f"peak, {per_frame} a frame: large / small backlog", ratio, "ratio")
    headings = ["backlog", "journal", "before", "peak (VmHWM)", "of small backlog's", "rows/s"]
    table("Resident memory of an ingestion that loads a backlog", headings, lines)
