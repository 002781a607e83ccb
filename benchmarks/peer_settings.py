"""`peer-settings`: each peer with several of its settings, so that it is measured at the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from benchmarks import cryptofeed_peer, mdp_peer, pathway_peer, throughput
from benchmarks.frames import Tape
from benchmarks.report import Report, interleaved, middle, table
from benchmarks.workbench import Workbench

_COMMIT_MILLISECONDS = (20, 50, 200, 1_000)
_IN_QUEUE = (500, 1_500, 5_000, 15_000)
_BATCHES = (100, 1_000, 5_000)
_MDP_ROWS = 15_000


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int) -> None:
    """Measure with 30 events per frame, and Pathway also with one."""
    now = time.time_ns() // 1_000_000
    tapes = {per_frame: Tape(rows - rows % 3000, per_frame, throughput.SYMBOLS, now) for per_frame in (30, 1)}
    contenders: dict[str, Callable[[], float]] = {}
    for per_frame, tape in tapes.items():
        for milliseconds in _COMMIT_MILLISECONDS:
            contenders[f"Pathway, {per_frame} a frame: commits every {milliseconds} ms"] = partial(
                throughput.measure_pathway, workbench, tape, pathway_peer.Settings(milliseconds)
            )
    for in_queue in _IN_QUEUE:
        contenders[f"cryptofeed: {in_queue:,} trades wait for the writer"] = partial(
            throughput.measure_cryptofeed, workbench, tapes[30], cryptofeed_peer.Settings(in_queue)
        )
    if mdp_peer.is_installed():
        engine = mdp_peer.EngineTape(*tapes[30]._replace(events=min(_MDP_ROWS, tapes[30].events)))
        for batch in _BATCHES:
            contenders[f"mdp-outbox: {batch:,} trades of a symbol at once"] = partial(
                throughput.measure_mdp_outbox, workbench, engine, mdp_peer.Settings(batch)
            )
    samples = interleaved(contenders, repeats)
    for name, values in samples.items():
        report.add("peer-settings", name, middle(values), "rows/s", values)
    lines = [
        [name, f"{middle(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}"]
        for name, values in samples.items()
    ]
    table(f"Settings of peers (medians of {repeats})", ["", "rows/s", "range"], lines)
