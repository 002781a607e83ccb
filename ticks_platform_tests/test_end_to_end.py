"""The platform as a person runs it: the real `dagster dev`, asked through its GraphQL API, and the database."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform.defs.ingestion.decisions import HEARTBEAT_GRACE
from ticks_platform_tests.support.dagster_dev import ENDED, Platform, eventually, running_platform

pytestmark = pytest.mark.full

ASSETS = {
    "stocks_real_time",
    "company",
    "one_minute_candle",
    "one_hour_candle",
    "one_day_candle",
    "one_minute_candle_refresh_policy",
    "one_hour_candle_refresh_policy",
    "one_day_candle_refresh_policy",
}


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, repository_root: Path, server_url: str | None, database_url: str
) -> Iterator[Platform]:
    """The shipped project, in a folder and with a database of its own."""
    folder = tmp_path_factory.mktemp("project")
    with running_platform(folder, repository_root, database_url if server_url else None) as running:
        yield running


def test_without_a_click_ticks_become_candles_and_all_assets_are_materialized(platform: Platform) -> None:
    def all_materialized() -> bool:
        nodes = platform.ask("{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { timestamp } } }")
        done = {node["assetKey"]["path"][0] for node in nodes["assetNodes"] if node["assetMaterializations"]}
        return done >= ASSETS

    eventually("all assets are materialized", 180, all_materialized)
    eventually("candles of one minute", 120, lambda: _candles(platform) > 0)
    symbols = platform.one("SELECT count(*) FROM company")
    eventually(
        "candles of every symbol",
        120,
        lambda: platform.one("SELECT count(DISTINCT symbol) FROM one_minute_candle") == symbols,
    )


def _candles(platform: Platform) -> int:
    with contextlib.suppress(Exception):
        return int(platform.one("SELECT count(*) FROM one_minute_candle"))
    return 0


def test_one_run_per_feed_and_its_checks_pass(platform: Platform) -> None:
    eventually("the feed streams", 120, platform.streaming_run)
    run_id = platform.launch("check_quality")
    eventually("the checks have run", 120, lambda: platform.status(run_id) in ENDED)
    data = platform.ask(
        """
        query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events {
            ... on AssetCheckEvaluationEvent { evaluation { checkName success description } } } } } }
        """,
        r=run_id,
    )
    verdicts = [event["evaluation"] for event in data["logsForRun"]["events"] if event.get("evaluation")]
    assert {verdict["checkName"] for verdict in verdicts} >= {
        "candles_equal_ticks",
        "channels_are_streaming",
        "journal_has_room",
        "ledger_balances",
        "ohlc_invariants",
        "ticks_are_fresh",
    }
    assert [verdict["description"] for verdict in verdicts if not verdict["success"]] == []


def test_a_killed_run_is_replaced(platform: Platform) -> None:
    run_id = eventually("the feed streams", 120, platform.streaming_run)
    os.kill(platform.process_of(run_id), signal.SIGKILL)
    killed = time.time()
    moment = platform.now()
    # What was received before the kill may still be on its way into the count; a fresh lease is the replacement's.
    eventually(
        "another run streams",
        120,
        lambda: (
            platform.streams_since(moment)
            and platform.one("SELECT (SELECT owner FROM ticks_platform.feed_lease)") != run_id
        ),
    )
    took = platform.runs("ingest")[0]["creationTime"] - killed
    assert took < HEARTBEAT_GRACE, f"launched after {took:.1f} s, not before it could be taken for dead"


def test_a_terminated_run_ends_in_seconds_with_every_received_tick_stored(platform: Platform) -> None:
    run_id = eventually("the feed streams", 120, platform.streaming_run)
    eventually("its ticks", 120, lambda: platform.one("SELECT (SELECT owner FROM ticks_platform.feed_lease)") == run_id)
    asked = time.monotonic()
    answer = platform.ask("mutation($r: String!) { terminateRun(runId: $r) { __typename } }", r=run_id)
    assert answer["terminateRun"]["__typename"] == "TerminateRunSuccess"
    eventually("the run has ended", 60, lambda: platform.status(run_id) in ENDED)
    took = time.monotonic() - asked
    assert platform.status(run_id) == "CANCELED"
    assert took < 20, "then Dagster would have declared it canceled by itself: cancel_timeout_seconds"
    numbers = platform.progress(run_id)
    assert numbers["journal bytes waiting"] == 0
    assert numbers["ticks"] > 0
    assert (
        platform.one("SELECT (SELECT count(*) FROM stocks_real_time) - sum(loaded) FROM ticks_platform.feed_ledger")
        == 0
    )


def test_a_feed_can_be_switched_off_and_on(platform: Platform) -> None:
    run_id = eventually("the feed streams", 120, platform.streaming_run)
    platform.launch("disable_feed", partition="stand_in")
    eventually("the run has ended by itself", 120, lambda: platform.status(run_id) in ENDED)
    assert platform.status(run_id) == "SUCCESS"
    ticks = platform.one("SELECT count(*) FROM stocks_real_time")
    enabling = platform.launch("enable_feed", partition="stand_in")
    assert all(run["status"] in ENDED for run in platform.runs("ingest")), "nobody started it in the meantime"
    assert platform.one("SELECT count(*) FROM stocks_real_time") == ticks
    eventually("the feed is on", 120, lambda: platform.status(enabling) == "SUCCESS")
    eventually("the feed streams again", 120, platform.streaming_run)


def test_a_run_that_a_power_cut_left_started_is_replaced(platform: Platform) -> None:
    """It is declared failed when its heartbeat has stood still for long: that is test_supervisor's to prove."""
    run_id = eventually("the feed streams", 120, platform.streaming_run)
    eventually("its lease", 120, lambda: platform.one("SELECT (SELECT owner FROM ticks_platform.feed_lease)") == run_id)
    platform.lose_power()
    platform.start()
    assert platform.status(run_id) == "STARTED", "Dagster itself never notices"
    moment = platform.now()
    # Its successor does not wait for that either: a restart of the code location hands feeds over.
    eventually("another run streams", 120, lambda: platform.streams_since(moment))
