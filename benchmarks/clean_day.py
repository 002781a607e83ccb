"""`clean-day`: how soon candles of 500 symbols are proven while nothing goes wrong, beside a day that is stored.

In real time: the stand-in streams to the platform's own ingestion, the database's policies refresh the candles, and the
checks run as often as by their schedule, at the cost that they have beside what is stored. There is no Dagster: what
its runs take to start, some ten seconds, is not in the figures.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import numpy as np

from benchmarks import proof
from benchmarks.proof import INTERVAL, SYMBOLS
from benchmarks.report import Report, table
from benchmarks.workbench import Workbench
from ticks_platform.feeds.settings import STAND_IN, FeedSettings
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import project_root
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import FILE, POLICIES, load_policies
from ticks_standin import StandInProcess, StandInSettings

RATE = 1_000
"""Ticks a second: twice what five sessions of 10 million ticks have."""

WITHIN = timedelta(minutes=20)
"""In which a candle of a minute is to be proven after its end."""

_LOOK = 10.0
"""Seconds from one look to the next: a candle is taken to be proven when it was seen to be."""

_VIEWS = ("candles/session_day_candle.sql", "candles/proven_candle.sql")

_STATES = """
SELECT bucket, symbol, proof IN ('proven', 'final'), proof
FROM proven_candle
WHERE every = '1m' AND bucket >= %(since)s AND bucket < now() - INTERVAL '1 minute'
"""

_CANDLES = "SELECT bucket, symbol FROM one_minute_candle WHERE bucket >= %(since)s AND bucket <= %(until)s"

Bucket = tuple[datetime, str]


class Seen(NamedTuple):
    """Candles, when they were first seen proven, and what took how long."""

    proven: dict[Bucket, datetime]
    states: dict[Bucket, str]
    """Of those that are not, at the last look."""
    looks: list[float]
    checks: list[float]


def run(workbench: Workbench, report: Report, *, minutes: int, rows: int) -> None:
    """Stream for so many minutes, beside so many ticks of yesterday."""
    if workbench.is_embedded:
        raise SystemExit("clean-day needs a server on this machine: set TICKS_DATABASE_URL")
    proof.prepare(workbench)
    proof.store(workbench, proof.this_hour(), days_ago=1, ticks=rows)
    proof.prove(workbench)
    with workbench.database.transaction() as cursor:
        sql_files.apply(cursor, *_VIEWS)
        settings = load_policies(project_root() / FILE)
        for policy in POLICIES:
            policy_jobs.apply(cursor, policy, settings.terms(policy))
    with StandInProcess(StandInSettings(rate=RATE, accept_any_symbol=True, polygon_tape="plain")) as server:
        feed = proof.feed_settings(workbench).feeds[0]
        live = FeedSettings.model_validate({**feed.model_dump(mode="json"), "endpoint": STAND_IN, "calendar": "always"})
        ingestion = Ingestion(
            feed=live,
            connector=live.connector(stand_in_url=server.url("polygon", key=None)),
            database=workbench.database,
            owner="clean-day",
            journal_file=workbench.journal_file(),
        )
        with ingestion:
            seen, since, until = _watched(workbench, ingestion, minutes)
    _tell(workbench, report, seen, since, until)


def _watched(workbench: Workbench, ingestion: Ingestion, minutes: int) -> tuple[Seen, datetime, datetime]:
    """What was seen from the first minute on in which everything was subscribed to from its begin."""
    settings = proof.feed_settings(workbench)
    ends_at = time.monotonic() + minutes * 60
    seen, ended = Seen({}, {}, [], []), threading.Event()
    since = datetime.now(timezone.utc).replace(second=0, microsecond=0) + timedelta(minutes=2)
    failures: list[BaseException] = []

    def check() -> None:
        try:
            while not ended.wait(INTERVAL - time.time() % INTERVAL):
                began = time.monotonic()
                proof.check(workbench, settings, daily=False)
                seen.checks.append(time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  (told by the thread that looks)
            failures.append(error)

    thread = threading.Thread(target=check)
    thread.start()
    try:
        while time.monotonic() < ends_at:
            ingestion.wait(_LOOK)
            if failures:
                raise failures[0]
            _look(workbench, seen, since)
    finally:
        ended.set()
        thread.join()
    return seen, since, datetime.now(timezone.utc)


def _look(workbench: Workbench, seen: Seen, since: datetime) -> None:
    began = time.monotonic()
    with workbench.database.autocommit() as cursor:
        cursor.execute(_STATES, {"since": since})
        found = cursor.fetchall()
    seen.looks.append(time.monotonic() - began)
    now = datetime.now(timezone.utc)
    seen.states.clear()
    for bucket, symbol, is_proven, state in found:
        if is_proven:
            seen.proven.setdefault((bucket, symbol), now)
        else:
            seen.states[bucket, symbol] = state
    if seen.proven:
        newest = max(bucket for bucket, _ in seen.proven)
        longest = max(at - bucket for (bucket, _), at in seen.proven.items()).total_seconds() - 60
        print(f"  … {len(seen.proven):,} proven, up to {newest:%H:%M}, after {longest:.0f} s at most", flush=True)


def _tell(workbench: Workbench, report: Report, seen: Seen, since: datetime, until: datetime) -> None:
    minute = timedelta(minutes=1)
    with workbench.database.autocommit() as cursor:
        cursor.execute(_CANDLES, {"since": since, "until": until - minute})
        made = [(bucket, symbol) for bucket, symbol in cursor.fetchall()]
    if not seen.proven:
        raise SystemExit("no candle was proven in the time: take --minutes 10 or more")
    delays = np.array([(at - bucket - minute).total_seconds() for (bucket, _), at in seen.proven.items()])
    # Of those that are younger and not proven, nobody knows yet.
    judged = [key for key in made if key in seen.proven or key[0] + minute + WITHIN < until]
    in_time = sum(key in seen.proven and seen.proven[key] - key[0] - minute <= WITHIN for key in judged)
    share = in_time / len(judged) if judged else float("nan")
    middle, most, longest = (float(np.quantile(delays, part)) for part in (0.5, 0.999, 1.0))
    report.add("clean-day", "proven within 20 minutes", 100 * share, "%")
    for name, value in (("median", middle), ("99.9 %", most), ("longest", longest)):
        report.add("clean-day", f"after the end of a minute: {name}", value, "s")
    report.add("clean-day", "proven_candle, what was streamed", float(np.median(seen.looks)), "s", seen.looks)
    report.add("clean-day", "all checks, once", float(np.median(seen.checks)), "s", seen.checks)
    headings = ["proven in 20 minutes", "of", "not yet known", "median", "99.9 %", "longest"]
    line = [f"{share:.2%}", f"{len(judged):,}", f"{len(made) - len(judged):,}"]
    line += [f"{value:.0f} s" for value in (middle, most, longest)]
    table(f"{SYMBOLS} symbols at {RATE:,} ticks/s, checks every {INTERVAL:g} s", headings, [line])
