"""`tape`: bursts of the whole US market, by `*` and by a list of 12,000 symbols."""

from __future__ import annotations

import itertools
import json
import time

from benchmarks.processes import ingest, until
from benchmarks.report import Report, table
from benchmarks.workbench import Workbench
from ticks_standin import StandInProcess, StandInSettings
from ticks_standin.polygon.tape import names

SYMBOLS, LISTED = 11_000, 12_000
"""On the tape, and in feeds.yaml."""

BURST = 60_000
"""Events in one second."""

INTERVAL = 10.0
"""Seconds from burst to burst."""

UNREAD = 4 << 20
"""Bytes that a client may leave unread until the server cuts it off: less than half of a burst."""


def run(workbench: Workbench, report: Report, *, bursts: int) -> None:
    """Both ways to subscribe to the market."""
    lines = []
    for name, symbols in (("*", ["*"]), (f"{LISTED:,} listed", list(names(LISTED, frozenset())))):
        lines.append(_run(workbench, report, name, symbols, bursts))
    headings = ["symbols", "subscribed in", "sent in a burst", "slowest burst loaded in", "connections"]
    headings += ["slowest statement", "memory", "peak"]
    title = f"{bursts} bursts of up to {BURST:,} trades of {SYMBOLS:,} symbols, one every {INTERVAL:g} s"
    table(title, headings, lines)


def _run(workbench: Workbench, report: Report, name: str, symbols: list[str], bursts: int) -> list[str]:
    workbench.empty()
    settings = StandInSettings(rate=0, max_connections=10, load_symbols=SYMBOLS, slow_consumer_bytes=UNREAD)
    with StandInProcess(settings) as server:
        feed = {
            "provider": "polygon",
            "endpoint": server.url("polygon", key=None),
            "synthetic_endpoint": True,
            "api_key_env": "TICKS_BENCH_KEY",
            "options": {"market": "stocks", "channels": ["T"]},
            "symbols": symbols,
        }
        statements = workbench.journal_file().with_suffix(".json")
        with ingest(workbench, {"tape": feed}, ["benchmarks.timed_ingest", "tape", str(statements)]) as process:
            until("a connection", lambda: server.account().connections)
            wanted = [f"T.{symbol}" for symbol in (symbols[0], symbols[-1])]
            began = time.monotonic()
            server.wait_until_subscribed(*wanted, timeout_s=120)
            subscribed = time.monotonic() - began
            until("the account", lambda: _events(workbench) >= len(symbols))
            before, sent, seconds = _events(workbench), [], []
            for _ in range(bursts):
                began = time.monotonic()
                server.load(BURST)
                time.sleep(1.0)
                server.load(0)
                until("the burst is sent", lambda: _sent(server) == _sent(server))
                sent.append(_sent(server))
                until("it is loaded", lambda: _events(workbench) - before >= sent[-1])
                seconds.append(time.monotonic() - began)
                time.sleep(max(0.0, began + INTERVAL - time.monotonic()))
            connections = len(server.account().connections)
            megabytes, peak = process.megabytes(), process.peak_megabytes()
        stored = workbench.count()
    if stored != sent[-1]:
        raise RuntimeError(f"{stored:,} trades are stored of {sent[-1]:,}")
    (slowest, _), *_ = found = json.loads(statements.read_text("utf-8"))
    for took, text in found[:5]:
        print(f"  {name}: {took * 1000:.0f} ms: {text[:100]}")
    sizes = [after - earlier for earlier, after in itertools.pairwise([0, *sent])]
    for what, value, unit in (
        ("subscribed in", subscribed, "s"),
        ("slowest burst loaded in", max(seconds), "s"),
        ("slowest statement", slowest * 1000, "ms"),
        ("memory", megabytes, "MB"),
        ("peak of memory", peak, "MB"),
        ("connections", connections, ""),
    ):
        report.add("tape", f"{name}: {what}", value, unit)
    cells = [f"{subscribed:.1f} s", f"{min(sizes):,} to {max(sizes):,}", f"{max(seconds):.1f} s", str(connections)]
    return [name, *cells, f"{slowest * 1000:.0f} ms", f"{megabytes:.0f} MB", f"{peak:.0f} MB"]


def _events(workbench: Workbench) -> int:
    with workbench.database.transaction() as cursor:
        cursor.execute("SELECT coalesce(sum(events), 0)::bigint FROM ticks_platform.feed_ledger")
        return int((cursor.fetchone() or (0,))[0])


def _sent(server: StandInProcess) -> int:
    time.sleep(0.2)
    return sum(sum(each.events.values()) for each in server.account().connections)
