"""A real `dagster dev` in a project folder of its own, asked through its GraphQL API."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ports import free_port
from ticks_standin import daemon

T = TypeVar("T")

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
        self.environment = environment
        """Of its processes."""
        self._folder = folder
        self._log = folder / "dagster-dev.log"
        self.start()

    def start(self) -> None:
        """Start `dagster dev` and wait until its UI answers."""
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/graphql"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)],
                cwd=self._folder,
                env=self.environment,
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
        if not answer.ok:
            raise requests.HTTPError(f"status {answer.status_code}: {answer.text}\n{self.log()}", response=answer)
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

    def progress(self, run_id: str) -> dict[str, int]:
        """The whole numbers of what an ingestion run reported last."""
        data = self.ask(
            """
            query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events {
                ... on ObservationEvent { metadataEntries { label ... on IntMetadataEntry { intValue } } } } } } }
            """,
            r=run_id,
        )
        reports = [event["metadataEntries"] for event in data["logsForRun"]["events"] if event.get("metadataEntries")]
        return {entry["label"]: entry["intValue"] for entry in reports[-1] if "intValue" in entry}

    def launch(self, job: str, partition: str | None = None) -> str:
        """Launch a job as its launchpad does, and return the run's id."""
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        asks = job in ("disable_feed", "enable_feed", "hand_over")
        config = {"ops": {f"{job}_op": {"config": {"feed": partition}}}} if asks else {}
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
                "runConfigData": config,
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


@contextlib.contextmanager
def running_platform(
    folder: Path, repository_root: Path, database_url: str | None, *, environment: Mapping[str, str] | None = None
) -> Iterator[Platform]:
    """The shipped project in a folder: a dagster.yaml that is there already is kept.

    Without a URL, the platform starts the embedded database by itself, as on a bare machine.
    """
    for name in ("dagster.yaml", "workspace.yaml", "feeds.yaml", "policies.yaml"):
        if not (folder / name).exists():
            shutil.copy(repository_root / name, folder)
    (folder / "sql").symlink_to(repository_root / "sql")
    # Dagster's sockets and temporary files, which it leaves behind when its power is cut; sockets need short names.
    with (
        tempfile.TemporaryDirectory(prefix="ticks-", ignore_cleanup_errors=True) as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        # For `Database`, too, which finds the embedded one by it.
        patch.setenv("TICKS_STATE_DIR", str(folder / ".ticks"))
        whole = {
            **os.environ,
            **(environment or {}),
            "TMPDIR": scratch,
            "TICKS_PROJECT_DIR": str(folder),
            "PYTHONPATH": str(repository_root),
        }
        # Each of a dozen processes would compile the platform again.
        for name in ("DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE", "TICKS_DATABASE_URL"):
            whole.pop(name, None)
        if database_url is not None:
            whole["TICKS_DATABASE_URL"] = database_url
        running = Platform(folder, Database(database_url), whole)
        try:
            yield running
        finally:
            running.lose_power()
            if database_url is None:
                subprocess.run([sys.executable, "-m", "embedded_timescale", "stop"], check=True, timeout=60)
            daemon.stop(folder / ".ticks" / "stand-in" / "stand_in.json")
