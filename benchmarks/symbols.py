"""`symbols`: the cost of a tick with few and with many symbols."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.frames import Tape
from benchmarks.ingesting import Task, fill_journal
from benchmarks.peers import LIMIT_BATCH, copy_all, decoded_tape, encode
from benchmarks.report import Report, interleaved, middle, ratio, table
from benchmarks.throughput import load
from benchmarks.workbench import Workbench

COUNTS = (1, 100, 1_500)


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int) -> None:
    """Load a backlog with 30 events per frame, and the limit for the same rows."""
    cpu: dict[int, list[float]] = {count: [] for count in COUNTS}
    contenders = {}
    for count in COUNTS:
        tape = Tape(rows - rows % 3000, 30, count, time.time_ns() // 1_000_000)
        contenders[f"ours, {count:,}"] = partial(_ours, workbench, tape, cpu[count])
        encoded = encode(decoded_tape(tape), LIMIT_BATCH, is_sorted=False)
        contenders[f"limit, {count:,}"] = partial(_limit, workbench, tape, encoded)
    samples = interleaved(contenders, repeats)
    lines = []
    for count in COUNTS:
        rates, limits, seconds = samples[f"ours, {count:,}"], samples[f"limit, {count:,}"], middle(cpu[count])
        ours, limit, times = middle(rates), middle(limits), ratio(rates, limits)
        report.add("symbols", f"{count:,} symbols", ours, "rows/s", rates)
        report.add("symbols", f"{count:,} symbols / limit", times, "ratio")
        report.add("symbols", f"{count:,} symbols, CPU of the ingestion", seconds, "s per million ticks", cpu[count])
        relative = f"{seconds / middle(cpu[COUNTS[0]]):.2f} x"
        lines.append([f"{count:,}", f"{ours:,.0f}", f"{limit:,.0f}", f"{times:.2f} x", f"{seconds:.2f}", relative])
    headings = ["symbols", "ours, rows/s", "limit, rows/s", "ours / limit", "CPU s per million", "of 1 symbol's"]
    table(f"Backlogs of {rows:,} ticks, 30 a frame (medians of {repeats})", headings, lines)


def _ours(workbench: Workbench, tape: Tape, cpu: list[float]) -> float:
    workbench.empty()
    journal = workbench.journal_file()
    fill_journal(journal, tape.of_now().frames())
    outcome = load(workbench, Task(tape, "", workbench.url, journal, columnstore=True, expected=tape.events))
    journal.unlink()
    cpu.append(outcome.cpu_seconds / tape.events * 1e6)
    return tape.events / (outcome.ended - outcome.began)


def _limit(workbench: Workbench, tape: Tape, encoded: list[bytes]) -> float:
    return tape.events / copy_all(workbench, encoded, direct_compress=workbench.has_direct_compress)
