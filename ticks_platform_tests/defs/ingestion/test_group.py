"""The run of a group, executed in process against a stand-in and a real database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.defs.common.runs import FEED_TAG, FEEDS_TAG, REFUSED_TAG, SUCCESSOR_TAG
from ticks_platform.defs.ingestion import ingest
from ticks_platform.ingestion import group as groups
from ticks_platform.ingestion import loader, switch
from ticks_platform.ingestion.handover import takeover
from ticks_platform.timescale.database import Database
from ticks_platform_tests.defs.ingestion.test_ingest import Running, eventually, failure, one, reports
from ticks_platform_tests.defs.ingestion.test_ingest import one_instance as one_instance
from ticks_platform_tests.support.ingestion import rows
from ticks_standin import StandIn, StandInSettings

SYMBOLS = {"stocks": "AAPL", "crypto": "BTC/USD"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports, looks and heartbeats are seconds apart in real life."""
    monkeypatch.setenv("TICKS_TEST_KEY", "demo")
    monkeypatch.setattr(ingest, "FIRST_REPORT", 0.2)
    monkeypatch.setattr(ingest, "FENCE_INTERVAL", 0.2)
    monkeypatch.setattr(groups, "TEND_INTERVAL", 0.1)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)
    # As in test_ingest: only tests have two runs in one process.
    monkeypatch.setattr(logging.config, "dictConfig", lambda _config: None)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn(StandInSettings(rate=0, record=True, max_connections=100)) as server:
        yield server


def write(project: Path, stand_in: StandIn, *, alone: str | None = None) -> None:
    """feeds.yaml with two feeds that share a run, unless one of them has a run of its own."""
    feeds = "".join(
        f"  {name}: {{provider: twelve_data, endpoint: '{stand_in.url(key=None)}', api_key_env: TICKS_TEST_KEY, "
        f"synthetic_endpoint: true, symbols: [{symbol}]{', group: small' * (name != alone)}}}\n"
        for name, symbol in SYMBOLS.items()
    )
    (project / "feeds.yaml").write_text(f"feeds:\n{feeds}", encoding="utf-8")


@pytest.fixture
def start(
    project: Path,
    stand_in: StandIn,
    load: Callable[[], dg.Definitions],
    instance: dg.DagsterInstance,
    database: Database,
) -> Iterator[Callable[..., Running]]:
    """Starts the run of a partition of `ingest`; one that a failed test has left is switched off."""
    write(project, stand_in)
    started: list[Running] = []

    def run(partition: str = "small") -> Running:
        job = load().resolve_job_def("ingest")
        started.append(
            Running(
                lambda: job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=False),
                instance,
            )
        )
        return started[-1]

    yield run
    if any(running.thread.is_alive() for running in started):
        for name in SYMBOLS:
            turn(database, name, enabled=False)
    for running in started:
        running.thread.join(60)


def turn(database: Database, feed: str, *, enabled: bool) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=enabled)


def subscribed(stand_in: StandIn) -> list[str]:
    found = [each.subscribed for each in stand_in.account().connections if each.ending is None]
    return sorted(symbol for symbols in found for symbol in symbols)


def count(database: Database) -> Any:
    return one(database, "SELECT count(DISTINCT tick_id) FROM stocks_real_time")


def test_a_group_streams_until_all_its_feeds_are_switched_off(
    database: Database, project: Path, stand_in: StandIn, start: Callable[..., Running], instance: dg.DagsterInstance
) -> None:
    running = start()
    eventually("both are subscribed", lambda: subscribed(stand_in) == ["AAPL", "BTC/USD"])
    stand_in.send_exactly(200)
    eventually("ticks have landed", lambda: count(database) == 200)
    run = running.run
    assert (run.tags[FEED_TAG], run.tags[FEEDS_TAG]) == ("small", "stocks, crypto")
    owners = rows(database, "SELECT feed, owner FROM ticks_platform.feed_lease ORDER BY feed")
    assert owners == [("crypto", run.run_id), ("stocks", run.run_id)]
    turn(database, "stocks", enabled=False)
    eventually("one of them has ended", lambda: subscribed(stand_in) == ["BTC/USD"])
    stand_in.send_exactly(50)
    eventually("the other one goes on", lambda: count(database) == 250)
    turn(database, "stocks", enabled=True)
    eventually("it is back", lambda: subscribed(stand_in) == ["AAPL", "BTC/USD"])
    file = project / "feeds.yaml"
    right = file.read_text(encoding="utf-8")

    def told(words: str) -> int:
        entries = instance.all_logs(run.run_id)
        return sum(entry.level == logging.WARNING and words in entry.user_message for entry in entries)

    file.write_text(right.replace("symbols:", "simbols:"), encoding="utf-8")
    eventually("what is wrong in feeds.yaml is told", lambda: told("simbols"))
    file.write_text(right, encoding="utf-8")
    eventually("and that it is over", lambda: told("feeds.yaml can be read again"))
    assert told("simbols") == 1
    assert subscribed(stand_in) == ["AAPL", "BTC/USD"]
    for name in SYMBOLS:
        turn(database, name, enabled=False)
    result = running.result()
    assert result.success
    said = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("feed 'stocks': switched off" in message for message in said)
    last = reports(instance, result.run_id)
    assert {report["group"] for report in last} == {"small"}
    assert max(report["feeds streaming"] for report in last) == 2


def test_a_group_whose_feeds_are_refused_says_which(
    database: Database, start: Callable[..., Running], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TICKS_TEST_KEY")
    turn(database, "crypto", enabled=False)
    result = start().result()
    assert not result.success
    assert "put TICKS_TEST_KEY=" in failure(result)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[REFUSED_TAG] == "stocks"


def test_a_feed_that_leaves_its_group_is_handed_over_to_a_run_of_its_own(
    database: Database,
    project: Path,
    stand_in: StandIn,
    start: Callable[..., Running],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is missed, and the other feed keeps its connection."""
    monkeypatch.setattr(takeover, "OVERLAP", 0.5)
    together = start()
    eventually("both are subscribed", lambda: subscribed(stand_in) == ["AAPL", "BTC/USD"])
    write(project, stand_in, alone="stocks")
    owner = "SELECT owner FROM ticks_platform.feed_lease WHERE feed = '{}'"
    group_run = one(database, owner.format("stocks"))
    alone = start("stocks")
    eventually("it has its own run", lambda: one(database, owner.format("stocks")) != group_run)
    assert one(database, owner.format("crypto")) == group_run
    eventually("one connection each", lambda: subscribed(stand_in) == ["AAPL", "BTC/USD"])
    stand_in.send_exactly(100)
    eventually("ticks have landed", lambda: count(database) == 100)
    assert together.thread.is_alive()
    assert alone.thread.is_alive()

    def says_so() -> bool:
        said = [entry.user_message for entry in instance.all_logs(group_run)]
        return any("feed 'stocks': handed over to run" in message for message in said)

    eventually("the group's run says who has it", says_so)
    assert len(stand_in.account().connections) == 3


@pytest.mark.full
def test_the_job_hand_over_marks_the_run_of_the_group(
    database: Database,
    stand_in: StandIn,
    start: Callable[..., Running],
    instance: dg.DagsterInstance,
    load: Callable[[], dg.Definitions],
) -> None:
    running = start()
    eventually("both are subscribed", lambda: subscribed(stand_in) == ["AAPL", "BTC/USD"])
    job = load().resolve_job_def("hand_over")
    assert job.execute_in_process(instance=instance, partition_key="crypto").success
    assert "asked for by run" in running.run.tags[SUCCESSOR_TAG]
