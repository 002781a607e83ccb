"""`endurance`: an hour at a steady rate: are memory and latency constant, and does the ledger balance?"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report
from benchmarks.workbench import Workbench
from ticks_platform.feeds.settings import STAND_IN, FeedSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import project_root
from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import FILE, POLICIES, load_policies
from ticks_standin import StandInProcess, StandInSettings

RATE = 5_000
"""Ticks per second."""

SYMBOLS = 100


def run(workbench: Workbench, report: Report, *, minutes: int) -> None:
    """Ingest the stand-in's ticks while the candles are refreshed, and print a line per minute.

    Raises AssertionError if the account does not balance at the end.
    """
    workbench.empty()
    with workbench.database.transaction() as cursor:
        settings = load_policies(project_root() / FILE)
        for policy in POLICIES:
            if policy.table in (ONE_MINUTE.name, ONE_HOUR.name):
                policy_jobs.apply(cursor, policy, settings.terms(policy))
    feed = FeedSettings.model_validate(
        {
            "name": "endurance",
            "provider": "twelve_data",
            "endpoint": STAND_IN,
            "symbols": [f"S{number:04}" for number in range(SYMBOLS)],
        }
    )
    journal = workbench.journal_file()
    print(f"\n{RATE:,} ticks/s of {SYMBOLS} symbols for {minutes} minutes\n")
    print("  minute    ticks/s      p50      p99      max   resident   journal file   waiting")
    with StandInProcess(StandInSettings(rate=RATE, accept_any_symbol=True)) as server:
        connector = feed.connector(stand_in_url=server.url(key=None))
        ingestion = Ingestion(
            feed=feed, connector=connector, database=workbench.database, owner="endurance", journal_file=journal
        )
        latencies = _watch(ingestion)
        with ingestion:
            loaded, since = 0, time.monotonic()
            for minute in range(1, minutes + 1):
                ingestion.wait(max(0.0, since + 60.0 - time.monotonic()))
                now, progress = time.monotonic(), ingestion.progress()
                taken = np.concatenate(latencies)
                latencies.clear()
                quantiles = [float(np.quantile(taken, fraction)) * 1000 for fraction in (0.5, 0.99, 1.0)]
                pace, resident = (progress.loaded - loaded) / (now - since), _resident_megabytes()
                loaded, since = progress.loaded, now
                p50, p99, longest = (f"{value:4.0f} ms" for value in quantiles)
                print(
                    f"  {minute:6}  {pace:9,.0f}  {p50}  {p99}  {longest}"
                    f"  {resident:6.0f} MB  {journal.stat().st_size / 1e6:10.1f} MB  {progress.waiting_bytes:6,} B",
                    flush=True,
                )
                for name, value, unit in (
                    ("ticks/s", pace, "ticks/s"),
                    ("p99", quantiles[1], "ms"),
                    ("resident", resident, "MB"),
                ):
                    report.add(f"endurance, minute {minute}", name, value, unit)
        sent = server.account().price_events
    with workbench.database.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
        journal_account = audit.journal_account(cursor, feed.name, journal)
    assert journal_account is not None
    problems = account.problems() + journal_account.problems()
    verdict = "; ".join(problems) or "the ledger balances"
    print(f"\n  sent {sent:,}; {account.loaded:,} loaded, {account.rejected:,} rejected; {verdict}")
    assert not problems
    assert sent == account.loaded


def _watch(ingestion: Ingestion) -> list[npt.NDArray[np.float64]]:
    """Collect the commit latency of every tick, in seconds, in the returned list."""
    latencies: list[npt.NDArray[np.float64]] = []
    metrics, committed = ingestion.metrics, ingestion.metrics.committed

    def keep(batch: DecodedBatch, stored: Stored, *, at: int) -> None:
        latencies.append((at - batch.ticks.received_at) / 1e9)
        committed(batch, stored, at=at)

    metrics.committed = keep  # type: ignore[method-assign]
    return latencies


def _resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")
