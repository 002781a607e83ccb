"""Dagster's own storage is away for 40 s, as a PostgreSQL that is closed and as SQLite that is locked.

The runs of feeds continue. Afterwards no feed has a second run, none is declared failed, and the sensors resume.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from ticks_platform.defs.ingestion.decisions import HEARTBEAT_GRACE
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.dagster_dev import ENDED, Platform, eventually, running_platform

OUTAGE = 40.0
"""Seconds: longer than HEARTBEAT_GRACE, and than Dagster's own retries."""

SENSORS = """
    query($repository: RepositorySelector!) { sensorsOrError(repositorySelector: $repository) { ... on Sensors {
        results { name sensorState { status ticks(limit: 20) { timestamp status } } } } } }
"""
REPOSITORY = {"repositoryLocationName": "ticks_platform", "repositoryName": "__repository__"}

Outage = Callable[[], AbstractContextManager[None]]

pytestmark = pytest.mark.full


@pytest.fixture
def native_url(server_url: str | None, request: pytest.FixtureRequest) -> str | None:
    """An empty database on a native server: in that of the test before, the feed is switched off. None: embedded."""
    if server_url is None:
        return None
    request.getfixturevalue("empty_database")
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
def locked(tmp_path: Path, repository_root: Path, native_url: str | None) -> Iterator[Any]:
    """The platform with its history in SQLite, and how all of that is locked."""
    history = tmp_path / "project" / ".dagster_home"

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for file in history.rglob("*.db"):
                connection = stack.enter_context(contextlib.closing(sqlite3.connect(file, timeout=30)))
                connection.execute("BEGIN EXCLUSIVE")
            yield

    history.parent.mkdir()
    with running_platform(history.parent, repository_root, native_url) as running:
        yield running, lock


@pytest.fixture
def closed(tmp_path: Path, repository_root: Path, server_url: str | None, native_url: str | None) -> Iterator[Any]:
    """The platform with its history in a PostgreSQL, and how that is closed."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "Dagster's history is in a PostgreSQL")
    name = f"ticks_history_{uuid.uuid4().hex[:12]}"
    # Without the driver, SQLAlchemy 2.1 takes psycopg 3.
    url = sqlalchemy.make_url(server_url).set(drivername="postgresql+psycopg2", database=name)

    def administer(*statements: str) -> None:
        with contextlib.closing(psycopg2.connect(server_url)) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.cursor().execute(statement)

    @contextlib.contextmanager
    def close() -> Iterator[None]:
        administer(
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        try:
            yield
        finally:
            administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    folder = tmp_path / "project"
    folder.mkdir()
    settings = (repository_root / "dagster.yaml").read_text(encoding="utf-8")
    storage = "  postgres:\n    postgres_url: {env: TICKS_TEST_HISTORY_URL}\n"
    changed = settings.replace("  sqlite:\n    base_dir: .dagster_home\n", storage)
    assert changed != settings
    (folder / "dagster.yaml").write_text(changed, encoding="utf-8")
    administer(f"CREATE DATABASE {name}")
    try:
        environment = {"TICKS_TEST_HISTORY_URL": url.render_as_string(hide_password=False)}
        with running_platform(folder, repository_root, native_url, environment=environment) as running:
            yield running, close
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("kind", ["locked", "closed"])
def test_an_outage_of_dagsters_storage_changes_nothing_for_the_feeds(kind: str, request: pytest.FixtureRequest) -> None:
    platform, outage = request.getfixturevalue(kind)
    run_id = eventually("the feed streams", 180, platform.streaming_run)
    eventually("its lease", 120, lambda: platform.one("SELECT (SELECT owner FROM ticks_platform.feed_lease)") == run_id)
    with outage():
        ends = time.monotonic() + OUTAGE
        while time.monotonic() < ends:
            moment = platform.now()
            eventually("ticks are stored", 30, lambda moment=moment: platform.streams_since(moment))
            time.sleep(1)  # a tenth of a second would make it the whole load of this test
    over = time.time()
    # Long enough to declare a run dead whose heartbeat had stood still since, and for run monitoring to have looked.
    eventually("the sensors look again and again", 180, lambda: _quietly(lambda: _sensors_resumed(platform, over)))
    resumed = over + HEARTBEAT_GRACE
    eventually("the daemons are healthy", 180, lambda: _quietly(lambda: _daemons_resumed(platform, resumed)))
    runs = platform.runs("ingest")
    assert (runs[0]["runId"], runs[0]["status"]) == (run_id, "STARTED"), platform.log()
    moment = platform.now()
    eventually("it still streams", 30, lambda: platform.streams_since(moment))
    platform.launch("disable_feed", partition="stand_in")
    eventually("a job that is launched now ends the run", 120, lambda: platform.status(run_id) in ENDED)
    assert platform.status(run_id) == "SUCCESS", platform.log()


def _quietly(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except Exception:  # noqa: BLE001  (whatever the UI's server says while its storage is away)
        return False


def _sensors_resumed(platform: Platform, moment: float) -> bool:
    """Whether every sensor has looked since, and the supervisor for longer than a silent run has."""
    found = platform.ask(SENSORS, repository=REPOSITORY)["sensorsOrError"]["results"]
    for sensor in found:
        ticks = [
            tick["timestamp"] for tick in sensor["sensorState"]["ticks"] if tick["status"] in ("SKIPPED", "SUCCESS")
        ]
        until = moment + (HEARTBEAT_GRACE + 10 if sensor["name"] == "platform_supervisor" else 0)
        if sensor["sensorState"]["status"] == "RUNNING" and max(ticks, default=0) <= until:
            return False
    return bool(found)


def _daemons_resumed(platform: Platform, moment: float) -> bool:
    daemons = platform.ask(
        "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"
    )["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(each["lastHeartbeatTime"] > moment for each in daemons if each["required"])
