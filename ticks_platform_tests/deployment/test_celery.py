"""deploy/celery: feeds as tasks of Celery on several machines, one of which is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ticks_platform.ingestion import lease as leases
from ticks_platform_tests.support import celery
from ticks_platform_tests.support.dagster_dev import ENDED, Platform, eventually, running_platform
from ticks_standin import StandIn, StandInSettings

QUEUE = "feeds"
KEY = "TICKS_TEST_CELERY_KEY"
RUNS = {"pair": ("one", "other"), "two": ("two",)}
"""The feeds of each run: a group, and a feed that is in none."""

SYMBOLS = {"one": ("AAPL",), "other": ("MSFT",), "two": ("NVDA", "TSLA")}
MOVES_WITHIN = 60.0
"""Seconds from the loss of a machine until its feed streams from another one."""

CROWDED = 5.0
"""Load per core above which a run's start says more of this machine than of the platform: only its launch is judged."""

CANCEL_TIMEOUT = 20.0
"""Seconds after which run monitoring declares a run canceled that is being terminated."""

MONITORING = 30.0
"""Seconds between two looks of run monitoring."""

TOLERANCE = timedelta(milliseconds=50)
"""A gap's bounds are times of arrival."""


class Deployment(NamedTuple):
    """What the test has."""

    platform: Platform
    stand_in: StandIn
    redis: celery.Redis
    machines: dict[str, celery.Machine]
    start: Any
    """Starts a machine, by its name."""
    processes: dict[str, int]
    """Of runs."""

    def run_of(self, name: str) -> str | None:
        """The run that holds the leases of a group's feeds, or of one; None while it does not hold all of them."""
        with self.platform.database.transaction() as cursor:
            held = leases.statuses(cursor, RUNS[name])
        owners = {lease.owner for lease in held.values() if lease.is_alive}
        alive = all(feed in held and held[feed].is_alive for feed in RUNS[name])
        return owners.pop() if alive and len(owners) == 1 else None

    def machine_of(self, name: str) -> str | None:
        """The machine from which its feeds stream: the one that executes the owner of their leases."""
        run = self.run_of(name)
        if run is None or self.platform.status(run) != "STARTED":
            return None
        process = self.processes.get(run) or self.processes.setdefault(run, self.platform.process_of(run))
        return next((name for name, machine in self.machines.items() if machine.executes(process)), None)

    def tags(self, run: str | None) -> dict[str, str]:
        """The tags of a run."""
        data = self.platform.ask(
            "query($r: ID!) { runOrError(runId: $r) { ... on Run { tags { key value } } } }", r=run
        )
        return {tag["key"]: tag["value"] for tag in data["runOrError"]["tags"]}

    def took(self, run: str | None, since: float) -> str:
        """When a run went through its stages, in seconds since a moment: where the time went, if it was too long."""
        data = self.platform.ask(
            "query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events { __typename "
            "... on MessageEvent { timestamp } } } } }",
            r=run,
        )
        first: dict[str, float] = {}
        for event in data["logsForRun"]["events"]:
            first.setdefault(event["__typename"], float(event["timestamp"]) / 1e3 - since)
        stages = ("RunEnqueuedEvent", "RunStartingEvent", "RunStartEvent", "ExecutionStepStartEvent")
        return ", ".join(f"{name} {first[name]:.1f} s" for name in stages if name in first)

    def unaccounted(self, begins: datetime, ends: datetime) -> list[str]:
        """Trades of the market in a time that are not stored once, nor within a known gap."""
        made = self.stand_in.made(begins=begins, ends=ends, payloads=True)
        assert not made.forgotten
        with self.platform.database.transaction() as cursor:
            cursor.execute("SELECT symbol, trade_id, count(*) FROM stocks_real_time GROUP BY symbol, trade_id")
            stored = {(symbol, trade): count for symbol, trade, count in cursor.fetchall()}
            cursor.execute("SELECT symbol, begins_at, coalesce(ends_at, 'infinity') FROM ticks_platform.feed_gap")
            gaps = cursor.fetchall()
        problems = []
        for event in made.events:
            times = stored.get((event.symbol, event.decoded()["i"]), 0)
            at = datetime.fromtimestamp(event.made_ms / 1e3, timezone.utc)
            known = any(
                symbol == event.symbol and first <= at + TOLERANCE and at - TOLERANCE <= last
                for symbol, first, last in gaps
            )
            if times > 1 or (times == 0 and not known):
                problems.append(f"{event.name} {at:%H:%M:%S.%f}: stored {times} times, sent on {event.sent_on}")
        return problems

    def streams(self, name: str, since: Any) -> bool:
        """Whether a tick of each of its feeds has arrived since."""
        arrived = "SELECT EXISTS (SELECT FROM stocks_real_time WHERE feed = %s AND received_at > %s)"
        return all(self.platform.one(arrived, feed, since) for feed in RUNS[name])


@pytest.fixture
def deployment(tmp_path: Path, repository_root: Path, database_url: str) -> Iterator[Deployment]:
    """Redis, PostgreSQL, webserver, daemon and code location of deploy/celery, without a worker."""
    programs = celery.Programs.find()
    deploy = repository_root / "deploy" / "celery"
    project = tmp_path / "project"
    project.mkdir()
    (project / "dagster.yaml").write_bytes((deploy / "dagster.yaml").read_bytes())
    market = StandInSettings(rate=40, history_events=200_000, polygon_tape="plain")
    with contextlib.ExitStack() as stack:
        stand_in = stack.enter_context(StandIn(market))
        feeds = {
            feed: {
                "provider": "polygon",
                "endpoint": stand_in.url("polygon", key=None),
                "synthetic_endpoint": True,
                "api_key_env": KEY,
                "options": {"market": "stocks", "channels": ["T"]},
                "calendar": "always",
                "hours": "always",
                "symbols": list(symbols),
                "repair": {"enabled": False},
                "true_up": "off",
                # The group is launched first, and so it is the one whose machine is lost.
                "run_tags": {
                    "dagster-celery/queue": QUEUE,
                    "pool": {"of": name},
                    "dagster/priority": "1" if name == "pair" else "0",
                },
                **({"group": name} if len(RUNS[name]) > 1 else {}),
            }
            for name, members in RUNS.items()
            for feed, symbols in SYMBOLS.items()
            if feed in members
        }
        (project / "feeds.yaml").write_text(yaml.safe_dump({"feeds": feeds}), encoding="utf-8")
        broker = stack.enter_context(celery.redis(programs, deploy / "redis.conf"))
        environment = {
            "DAGSTER_STORAGE_HOST": "127.0.0.1",
            "DAGSTER_STORAGE_PORT": str(stack.enter_context(celery.postgresql(programs))),
            "DAGSTER_STORAGE_USER": "dagster",
            "DAGSTER_STORAGE_PASSWORD": "of-nobody",
            "DAGSTER_STORAGE_DATABASE": "dagster",
            "TICKS_CELERY_BROKER": broker.url(0),
            "TICKS_CELERY_BACKEND": broker.url(1),
            KEY: "demo",
        }
        platform = stack.enter_context(
            running_platform(project, repository_root, database_url, environment=environment)
        )
        machines: dict[str, celery.Machine] = {}

        def start(name: str, *, queue: str, runs: int) -> None:
            machines[name] = celery.Machine(
                deploy, tmp_path / name, platform.environment, queue=queue, runs=runs, name=name
            )
            stack.callback(machines[name].lose_power)

        yield Deployment(platform, stand_in, broker, machines, start, {})


@pytest.mark.full
def test_feeds_move_and_end(deployment: Deployment) -> None:
    platform, broker, machines = deployment.platform, deployment.redis, deployment.machines
    deployment.start("other", queue="dagster", runs=2)
    deployment.start("first", queue=QUEUE, runs=1)
    exists = "SELECT to_regclass('ticks_platform.feed_lease') IS NOT NULL"
    eventually("the database is brought up, by a run in the default queue", 180, lambda: platform.one(exists))
    left, right = RUNS
    eventually("the group streams", 120, lambda: deployment.machine_of(left))
    assert deployment.machine_of(left) == "first", "a feed's run is in its queue"
    tags = deployment.tags(deployment.run_of(left))
    assert (tags["dagster-celery/queue"], tags["pool"]) == (QUEUE, f'{{"of": "{left}"}}')

    # The first machine has no room for the other feed: that waits in Redis, where any other worker can take it.
    eventually("the other feed waits", 60, lambda: broker.ask("LLEN", QUEUE) == ["1"])
    deployment.start("second", queue=QUEUE, runs=3)
    eventually("it streams from the second", 120, lambda: deployment.machine_of(right) == "second")
    deployment.stand_in.wait_until_subscribed(*itertools.chain(*SYMBOLS.values()))
    begins = datetime.now(timezone.utc)
    tasks = broker.ask("KEYS", "celery-task-meta-*", database=1)
    assert len(tasks) >= len(RUNS)
    for task in tasks:
        assert broker.ask("TTL", task, database=1) == ["-1"], "the state of a run's task expires"

    # A run that is terminated stores what it received, and ends as CANCELED. The supervisor replaces it.
    run = deployment.run_of(right)
    asked = time.monotonic()
    answer = platform.ask("mutation($r: String!) { terminateRun(runId: $r) { __typename } }", r=run)
    assert answer["terminateRun"]["__typename"] == "TerminateRunSuccess"
    eventually("the run has ended", 60, lambda: platform.status(run) in ENDED)
    assert platform.status(run) == "CANCELED", machines["second"].log()
    assert time.monotonic() - asked < CANCEL_TIMEOUT, "then Dagster has declared it canceled by itself"
    assert platform.progress(run)["journal bytes waiting"] == 0
    eventually("it streams again", 120, lambda: deployment.machine_of(right) == "second")

    # A restart of Redis, by SIGKILL, is noticed by no feed.
    runs = {name: deployment.run_of(name) for name in RUNS}
    broker.kill()
    broker.start()
    restarted = time.time()

    # A machine is lost: its feed moves.
    moment, lost = platform.now(), time.time()
    machines["first"].lose_power()
    eventually(
        "its feed streams from the second",
        3 * MOVES_WITHIN,
        lambda: deployment.machine_of(left) == "second" and deployment.streams(left, moment),
    )
    streaming = time.time() - lost
    moved = deployment.run_of(left)
    load = os.getloadavg()[0]
    took = f"{deployment.took(moved, lost)}, ticks {streaming:.1f} s; load {load:.0f}"
    print(f"after a machine was lost: {took}")
    is_crowded = load > CROWDED * (os.cpu_count() or 1)
    assert is_crowded or streaming < MOVES_WITHIN, took
    (launched,) = (run["creationTime"] for run in platform.runs("ingest") if run["runId"] == moved)
    assert launched - lost < MOVES_WITHIN, took
    assert platform.status(runs[left]) == "FAILURE"
    assert (deployment.run_of(right), platform.status(runs[right])) == (runs[right], "STARTED")
    assert time.time() - restarted > MONITORING, "run monitoring has not looked since Redis was restarted"

    # Whatever the market made is stored once, or in a gap that is known.
    ends = datetime.now(timezone.utc)
    eventually("that is loaded", 60, lambda: all(deployment.streams(name, ends) for name in (left, right)))
    assert deployment.unaccounted(begins, ends) == []
