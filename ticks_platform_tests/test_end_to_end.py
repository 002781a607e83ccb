"""The platform as a person runs it: the real `dagster dev`, asked through its GraphQL API, and the database."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from ticks_platform.defs.ingestion.decisions import HEARTBEAT_GRACE
from ticks_platform.timescale.database import Database
from ticks_standin import daemon

T = TypeVar("T")

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
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


def eventually(what: str, seconds: float, look: Callable[[], T | None]) -> T:
    """What `look` returns as soon as that is true; the test fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


class Platform:
    """A running `dagster dev` in a project folder of its own."""

    def __init__(self, folder: Path, database: Database, environment: dict[str, str]) -> None:
        self.database = database
        self._folder = folder
        self._environment = environment
        self._log = folder / "dagster-dev.log"
        self.start()

    def start(self) -> None:
        """Start `dagster dev` and wait until its UI answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}/graphql"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually("the UI answers", 180, self._answers)

    def lose_power(self) -> None:
        """Kill every process of the platform, as a power cut would, but for the database."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"dagster dev ended:\n{self.log()}"
        with contextlib.suppress(requests.RequestException, KeyError):
            return bool(self.ask("{ version }")["version"])
        return False

    def log(self) -> str:
        """What `dagster dev` printed last."""
        return self._log.read_text(errors="replace")[-6000:]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        answer = requests.post(self._url, json={"query": query, "variables": variables}, timeout=30)
        answer.raise_for_status()
        content = answer.json()
        assert "errors" not in content, content["errors"]
        data: dict[str, Any] = content["data"]
        return data

    def runs(self, job: str) -> list[dict[str, Any]]:
        """Runs of a job, newest first."""
        data = self.ask(
            "query($f: RunsFilter) { runsOrError(filter: $f, limit: 20) { "
            "... on Runs { results { runId status creationTime } } } }",
            f={"pipelineName": job},
        )
        found: list[dict[str, Any]] = data["runsOrError"]["results"]
        return found

    def status(self, run_id: str) -> str:
        """The status of a run."""
        data = self.ask("query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }", r=run_id)
        return str(data["runOrError"]["status"])

    def streaming_run(self) -> str | None:
        """The ingestion run that is in flight, if there is just one and it has begun."""
        in_flight = [run for run in self.runs("ingest") if run["status"] not in ENDED]
        return in_flight[0]["runId"] if [run["status"] for run in in_flight] == ["STARTED"] else None

    def process_of(self, run_id: str) -> int:
        """The process id of a run's worker, from its event log."""
        data = self.ask(
            "query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events { "
            "... on MessageEvent { message } } } } }",
            r=run_id,
        )
        for event in data["logsForRun"]["events"]:
            found = re.search(r"\(pid: (\d+)\)", event.get("message") or "")
            if found:
                return int(found.group(1))
        raise AssertionError(f"no process id in the log of run {run_id}")

    def launch(self, job: str, partition: str | None = None) -> str:
        """Launch a job as its launchpad does, and return the run's id."""
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        data = self.ask(
            """
            mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
                __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
            """,
            p={
                "selector": {
                    "repositoryLocationName": "ticks_platform",
                    "repositoryName": "__repository__",
                    "pipelineName": job,
                },
                "runConfigData": {},
                "mode": "default",
                "executionMetadata": {"tags": tags},
            },
        )["launchRun"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return str(data["run"]["runId"])

    def one(self, query: str, *parameters: Any) -> Any:
        """The single value of a query."""
        with self.database.transaction() as cursor:
            cursor.execute(query, parameters)
            row = cursor.fetchone()
        assert row is not None
        return row[0]

    def streams_since(self, moment: Any) -> bool:
        """Whether a tick has arrived since."""
        return bool(self.one("SELECT EXISTS (SELECT FROM stocks_real_time WHERE received_at > %s)", moment))

    def now(self) -> Any:
        """The time, as the ticks' arrivals are stamped."""
        return self.one("SELECT clock_timestamp()")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ticks-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory,
    repository_root: Path,
    server_url: str | None,
    database_url: str,
    scratch: Path,
) -> Iterator[Platform]:
    """The shipped project, in a folder and with a database of its own."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dagster.yaml", "workspace.yaml", "feeds.yaml", "policies.yaml"):
        shutil.copy(repository_root / name, folder)
    (folder / "sql").symlink_to(repository_root / "sql")
    environment = {
        **os.environ,
        # Dagster's sockets and temporary files, which it leaves behind when its power is cut.
        "TMPDIR": str(scratch),
        "TICKS_PROJECT_DIR": str(folder),
        "TICKS_STATE_DIR": str(folder / ".ticks"),
        "PYTHONPATH": str(repository_root),
    }
    environment.pop("DAGSTER_HOME", None)
    # Each of a dozen processes would compile the platform again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if server_url is None:
        # As on a bare machine: nothing is set, and the platform starts the embedded database by itself.
        environment.pop("TICKS_DATABASE_URL", None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TICKS_STATE_DIR", str(folder / ".ticks"))
            database = Database(None)
            running = Platform(folder, database, environment)
            try:
                yield running
            finally:
                running.lose_power()
                stop_embedded()
                daemon.stop(folder / ".ticks" / "stand-in" / "stand_in.json")
    else:
        running = Platform(folder, Database(database_url), {**environment, "TICKS_DATABASE_URL": database_url})
        try:
            yield running
        finally:
            running.lose_power()
            daemon.stop(folder / ".ticks" / "stand-in" / "stand_in.json")


def stop_embedded() -> None:
    """Stop the embedded database of the current TICKS_STATE_DIR."""
    subprocess.run([sys.executable, "-m", "embedded_timescale", "stop"], check=True, timeout=60)


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


@pytest.mark.full
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


@pytest.mark.full
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
    last = platform.ask(
        """
        query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events {
            ... on ObservationEvent { metadataEntries { label ... on IntMetadataEntry { intValue } } } } } } }
        """,
        r=run_id,
    )
    entries = [event["metadataEntries"] for event in last["logsForRun"]["events"] if event.get("metadataEntries")][-1]
    numbers = {entry["label"]: entry.get("intValue") for entry in entries}
    assert numbers["journal bytes waiting"] == 0
    assert numbers["ticks"] > 0
    assert (
        platform.one("SELECT (SELECT count(*) FROM stocks_real_time) - sum(loaded) FROM ticks_platform.feed_ledger")
        == 0
    )


@pytest.mark.full
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


@pytest.mark.full
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
