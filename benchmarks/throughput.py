"""`limit`, `tutorial`, `ours`, `backlog`, and peers on request: rows per second of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial

from benchmarks import cryptofeed_peer, mdp_peer, pathway_peer
from benchmarks.frames import Tape
from benchmarks.ingesting import Outcome, Task, fill_journal, ingestion
from benchmarks.peers import LIMIT_BATCH, copy_all, decoded_tape, encode, tutorial
from benchmarks.report import Report, interleaved, middle, ratio, table
from benchmarks.server import frame_server
from benchmarks.workbench import Workbench
from ticks_standin import StandInProcess, StandInSettings

PARTS = ("limit", "tutorial", "ours", "backlog", "stand-in")

PEERS = ("pathway", "cryptofeed", "mdp-outbox")
"""What else is measured on request: `make bench-peers` installs them."""

TWO = "limit-of-two"
"""Also on request: the limit of two connections at once."""

SYMBOLS = 100
_SHARE = 5
"""Peers that are slow get one row of so many: their rate hardly depends on the number of rows."""
_MDP_SHARE = 20
"""The same of mdp-outbox."""

LIMIT = "limit: COPY of ready rows"
SORTED = "limit: COPY of sorted rows"
TUTORIAL = "tutorial: execute_values by 100"
PATHWAY = "Pathway: connector and PostgreSQL writer"
CRYPTOFEED = "cryptofeed: PostgreSQL writer, from memory"
MDP_OUTBOX = "mdp-outbox: connector, Redis and its writer"


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int, parts: Collection[str] = PARTS) -> None:
    """Measure with 30 events per frame, then with one."""
    for per_frame in (30, 1):
        tape = Tape(rows - rows % 3000, per_frame, SYMBOLS, time.time_ns() // 1_000_000)
        samples = interleaved(_contenders(workbench, tape, parts), repeats)
        if not samples:
            continue
        _print(report, tape, samples)


def _contenders(workbench: Workbench, tape: Tape, parts: Collection[str]) -> dict[str, Callable[[], float]]:
    stores = {"rows": False, "columnstore": True} if workbench.has_direct_compress else {"rows": False}
    contenders: dict[str, Callable[[], float]] = {}
    ticks = decoded_tape(tape) if {"limit", TWO} & {*parts} else None
    encoded = encode(ticks, LIMIT_BATCH, is_sorted=False) if ticks is not None else []
    for store, compress in stores.items():
        if TWO in parts:
            contenders[f"{LIMIT} over two connections → {store}"] = partial(
                _limit, workbench, tape, encoded, compress, connections=2
            )
        if "limit" in parts:
            contenders[f"{LIMIT} → {store}"] = partial(_limit, workbench, tape, encoded, compress)
        if "limit" in parts and ticks is not None and compress:
            ordered = encode(ticks, LIMIT_BATCH, is_sorted=True)
            contenders[f"{SORTED} → {store}"] = partial(_limit, workbench, tape, ordered, compress)
        if "ours" in parts:
            contenders[f"ours: socket → {store}"] = partial(_ours, workbench, tape, compress)
        if "backlog" in parts:
            contenders[f"ours: backlog → {store}"] = partial(_backlog, workbench, tape, compress)
    if "stand-in" in parts and tape.per_frame == 1:
        contenders["ours: stand-in's socket → rows"] = partial(_stand_in, workbench, tape)
    small = tape._replace(events=tape.events // _SHARE // 3000 * 3000)
    if "tutorial" in parts:
        contenders[TUTORIAL] = partial(_tutorial, workbench, small)
    if "pathway" in parts:
        contenders[PATHWAY] = partial(measure_pathway, workbench, small)
    if "cryptofeed" in parts and tape.per_frame > 1:
        contenders[CRYPTOFEED] = partial(measure_cryptofeed, workbench, small)
    if "mdp-outbox" in parts and tape.per_frame > 1:
        if mdp_peer.is_installed():
            least = tape._replace(events=max(tape.events // _MDP_SHARE // 3000, 1) * 3000)
            contenders[MDP_OUTBOX] = partial(measure_mdp_outbox, workbench, mdp_peer.EngineTape(*least))
        else:
            print("mdp-outbox is left out: it needs Python 3.12 or newer, and redis-server")
    return contenders


def _limit(workbench: Workbench, tape: Tape, encoded: list[bytes], compress: bool, *, connections: int = 1) -> float:
    return tape.events / copy_all(workbench, encoded, direct_compress=compress, connections=connections)


def _ours(workbench: Workbench, tape: Tape, compress: bool) -> float:
    workbench.empty()
    with frame_server(tape) as server:
        task = Task(tape, server.url, workbench.url, workbench.journal_file(), compress, tape.events)
        with ingestion(task) as process:
            server.wait_for_client()
            began = server.send_all()
            outcome: Outcome = process.answer()
    _check(workbench, task, outcome)
    return tape.events / (outcome.ended - began)


def _stand_in(workbench: Workbench, tape: Tape) -> float:
    workbench.empty()
    with StandInProcess(StandInSettings(rate=0, accept_any_symbol=True)) as server:
        url = server.url(key=None)
        task = Task(tape, url, workbench.url, workbench.journal_file(), columnstore=False, expected=tape.events)
        with ingestion(task) as process:
            server.wait_until_subscribed(*tape.names(), timeout_s=30.0)
            began = time.time()
            server.send_exactly(tape.events, timeout_s=120.0)
            outcome: Outcome = process.answer()
    _check(workbench, task, outcome)
    return tape.events / (outcome.ended - began)


def _backlog(workbench: Workbench, tape: Tape, compress: bool) -> float:
    workbench.empty()
    journal = workbench.journal_file()
    fill_journal(journal, tape.of_now().frames())
    outcome = load(workbench, Task(tape, "", workbench.url, journal, compress, tape.events))
    journal.unlink()
    return tape.events / (outcome.ended - outcome.began)


def load(workbench: Workbench, task: Task) -> Outcome:
    """Load a journal, connected to a server that sends nothing."""
    with frame_server(None) as server, ingestion(task._replace(url=server.url)) as process:
        outcome: Outcome = process.answer()
    _check(workbench, task, outcome)
    return outcome


def _tutorial(workbench: Workbench, tape: Tape) -> float:
    workbench.empty()
    with frame_server(tape) as server, tutorial(server.url, workbench.url, tape.events) as process:
        server.wait_for_client()
        began = server.send_all()
        ended, _ = process.answer()
    return float(tape.events / (ended - began))


def measure_pathway(workbench: Workbench, tape: Tape, settings: pathway_peer.Settings = pathway_peer.BEST) -> float:
    """Rows per second."""
    workbench.empty()
    with (
        frame_server(tape) as server,
        pathway_peer.running(server.url, workbench.url, tape.events, settings) as process,
    ):
        server.wait_for_client()
        began = server.send_all()
        ended = process.answer()
    stored = workbench.count(pathway_peer.TABLE)
    if stored != tape.events:
        raise RuntimeError(f"Pathway stored {stored:,} of {tape.events:,} ticks")
    return float(tape.events / (ended - began))


def measure_cryptofeed(
    workbench: Workbench, tape: Tape, settings: cryptofeed_peer.Settings = cryptofeed_peer.BEST
) -> float:
    """Rows per second."""
    workbench.empty()
    with cryptofeed_peer.running(workbench.url, tape.events, settings) as process:
        seconds = process.answer()
    stored = workbench.count(cryptofeed_peer.TABLE)
    if stored != tape.events:
        raise RuntimeError(f"cryptofeed stored {stored:,} of {tape.events:,} trades")
    return float(tape.events / seconds)


def measure_mdp_outbox(workbench: Workbench, tape: Tape, settings: mdp_peer.Settings = mdp_peer.BEST) -> float:
    """Rows per second."""
    workbench.empty()
    with (
        frame_server(tape, subscribes=False) as server,
        mdp_peer.running(workbench, tape, server.url, settings),
    ):
        server.wait_for_client()
        began = server.send_all()
        return tape.events / (mdp_peer.wait_until_stored(workbench, tape.events) - began)


def _check(workbench: Workbench, task: Task, outcome: Outcome) -> None:
    """Print the costs. Raises RuntimeError if the table does not have as many rows as were sent."""
    stored = workbench.count()
    if stored != task.expected:
        raise RuntimeError(f"{task.expected:,} ticks were sent, but {stored:,} are stored")
    million = len(outcome.latencies) / 1e6
    threads = ", ".join(
        f"{name.rpartition('-')[0] or name} {seconds / million:.1f}"
        for name, seconds in outcome.cpu_by_thread.items()
        if seconds / million >= 0.05
    )
    print(
        f"    CPU µs per tick {outcome.cpu_seconds / million:.1f} ({threads}); {outcome.batches} batches, prepared in "
        f"{outcome.preparing:.2f} s and committed in {outcome.committing:.2f} s of the clock; "
        f"peak {outcome.peak_megabytes:.0f} MB"
    )


def _print(report: Report, tape: Tape, samples: dict[str, list[float]]) -> None:
    medians = {name: middle(values) for name, values in samples.items()}
    benchmark = f"throughput, {tape.per_frame} a frame"
    lines = []
    for name, rate in medians.items():
        report.add(benchmark, name, rate, "rows/s", samples[name])
        # Compared with the limit of the same kind of storage; the tutorial stores rows.
        kind = name.rpartition(" → ")[2] if " → " in name else "rows"
        cells = []
        peers = (
            ("limit", f"{LIMIT} → {kind}"),
            ("tutorial", TUTORIAL),
            ("Pathway", PATHWAY),
            ("cryptofeed", CRYPTOFEED),
            ("mdp-outbox", MDP_OUTBOX),
        )
        for word, peer in peers:
            if peer in samples:
                times = ratio(samples[name], samples[peer])
                cells.append(f"{times:.2f} x")
                if peer != name:
                    report.add(benchmark, f"{name} / {word}", times, "ratio")
            else:
                cells.append("")
        low, high = min(samples[name]), max(samples[name])
        lines.append([name, f"{rate:,.0f}", f"{low:,.0f} to {high:,.0f}", *cells])
    title = (
        f"{tape.events:,} ticks of {tape.symbols} symbols, {tape.per_frame} a frame (medians of {len(samples[name])})"
    )
    headings = ["of its limit", "of tutorial", "of Pathway", "of cryptofeed", "of mdp-outbox"]
    table(title, ["", "rows/s", "range", *headings], lines)
