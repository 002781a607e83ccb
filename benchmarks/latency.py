"""`latency`: from a tick's arrival at the socket until a query sees it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks import peers
from benchmarks.frames import Tape
from benchmarks.ingesting import Outcome, Task, ingestion
from benchmarks.peers import TUTORIAL_BATCH
from benchmarks.report import Report, middle, table
from benchmarks.throughput import SYMBOLS
from benchmarks.workbench import Workbench
from ticks_standin import StandInProcess, StandInSettings

RATES = (1_000, 20_000)


def run(workbench: Workbench, report: Report, *, seconds: float, repeats: int, tutorial: bool) -> None:
    """Measure at a low and at a high rate, and the tutorial's script at the same rates if asked for."""
    lines = []
    for rate in RATES:
        events = int(rate * seconds) // TUTORIAL_BATCH * TUTORIAL_BATCH
        names = ("ours", "tutorial") if tutorial else ("ours",)
        measured: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
        for _ in range(repeats):
            measured["ours"].append(_ours(workbench, rate, events))
            if tutorial:
                measured["tutorial"].append(_tutorial(workbench, rate, events))
        p99 = {}
        for name, runs in measured.items():
            halves, nines, worst = (
                [float(np.quantile(latencies, fraction)) * 1000 for latencies in runs] for fraction in (0.5, 0.99, 1.0)
            )
            p99[name] = middle(nines)
            benchmark = f"latency, {rate:,} ticks/s"
            report.add(benchmark, f"{name} p50", middle(halves), "ms", halves)
            report.add(benchmark, f"{name} p99", p99[name], "ms", nines)
            cells = [f"{middle(values):,.0f} ms" for values in (halves, nines, worst)]
            lines.append([f"{name} at {rate:,} ticks/s", *cells, f"{p99[name] / p99['ours']:.1f} x"])
        if tutorial:
            report.add(benchmark, "p99 tutorial / ours", p99["tutorial"] / p99["ours"], "ratio")
    title = f"Arrival to queryable, {seconds:g} s each (medians of {repeats})"
    table(title, ["", "p50", "p99", "max", "p99 / ours"], lines)


def _ours(workbench: Workbench, rate: int, events: int) -> npt.NDArray[np.float32]:
    workbench.empty()
    with StandInProcess(StandInSettings(rate=rate, accept_any_symbol=True)) as server:
        tape = Tape(events, 1, SYMBOLS, 0)
        task = Task(tape, server.url(key=None), workbench.url, workbench.journal_file(), True, events)
        with ingestion(task) as process:
            outcome: Outcome = process.answer()
    return outcome.latencies


def _tutorial(workbench: Workbench, rate: int, events: int) -> npt.NDArray[np.float32]:
    workbench.empty()
    with (
        StandInProcess(StandInSettings(rate=rate, accept_any_symbol=True)) as server,
        peers.tutorial(server.url(), workbench.url, events) as process,
    ):
        _, latencies = process.answer()
    return np.asarray(latencies, dtype=np.float32)
