"""What the tests share: a real TimescaleDB with the platform in it, and real feeds on loopback."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
import sqlalchemy

import embedded_timescale
from ticks_platform.paths import project_root
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import POLICIES, load_policies
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.own_server import server as server
from ticks_platform_tests.support.platform_database import FILES, PlatformDatabase
from ticks_platform_tests.support.tutorial import tutorial as tutorial
from ticks_platform_tests.support.tutorial import without_tables as without_tables
from ticks_standin import StandIn, StandInSettings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

CANDLES = tuple(file for candle in candles.CANDLES for file in candle.files)
"""The files of the candles and their views."""


def make_policies(cursor: Cursor) -> None:
    """All policies, as the shipped policies.yaml declares them."""
    settings = load_policies(project_root() / "policies.yaml")
    for policy in POLICIES:
        policy_jobs.apply(cursor, policy, settings.terms(policy))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    # As in a script that started the tests with `&`. Dagster then ignores SIGTERM too, and so would all processes that
    # tests start and ask to end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never touch the database or the history of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKS_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path_factory.mktemp("hypothesis")))
        patch.delenv("TICKS_DATABASE_URL", raising=False)
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.delenv("TICKS_ALERT_WEBHOOK", raising=False)
        patch.delenv("TICKS_READER_ROLE", raising=False)
        yield


@pytest.fixture(scope="session")
def server_url() -> str | None:
    """A native server to test on, from TICKS_TEST_DATABASE_URL; None means the embedded one."""
    return os.environ.get("TICKS_TEST_DATABASE_URL")


@pytest.fixture(scope="session")
def database_url(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database of this session's own: a fresh one on the native server, or a fresh embedded one."""
    if server_url is None:
        data_dir = tmp_path_factory.mktemp("timescaledb") / "data"
        try:
            # Tests with databases of their own may take longer than an idle server waits for its next client.
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TICKS_EMBEDDED_IDLE_SECONDS", "3600")
                url = embedded_timescale.ensure_running(data_dir)
            yield url
        finally:
            embedded_timescale.stop(data_dir)
        return
    name = f"ticks_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f'CREATE DATABASE "{name}"')
    try:
        yield sqlalchemy.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _administer(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def platform_database(database_url: str, server_url: str | None) -> PlatformDatabase:
    """The platform in this session's database, which every test has for itself."""
    return PlatformDatabase(Database(database_url), FILES, native=server_url is not None)


@pytest.fixture
def empty_database(platform_database: PlatformDatabase) -> Database:
    """A database without the platform, whatever an earlier test left."""
    return platform_database.drop()


@pytest.fixture
def database(platform_database: PlatformDatabase) -> Database:
    """A database with hypertable, machinery, candles and functions, without rows. Policies are left to the tests."""
    return platform_database.reset()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that sends nothing by itself and keeps account of what it was told to send."""
    with StandIn(StandInSettings(rate=0, record=True)) as server:
        yield server


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The checkout."""
    return project_root()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Where each worker collects everything, each imports its share first: rewriting the assertions of a module costs
    ten times as much as importing it, and is cached for the others."""
    gc.disable()  # hardly anything that is made while collecting is ever thrown away
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    modules = sorted(Path(__file__).parent.rglob("test_*.py"))
    for module in modules[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        # What is wrong with a module is said when it is collected.
        with contextlib.suppress(Exception):
            importlib.import_module(".".join(module.relative_to(session.config.rootpath).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """From here on there is garbage."""
    gc.freeze()
    gc.enable()


_unexpected_skips: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes skips that .ci/run does not accept."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not skips.is_expected(reason):
            _unexpected_skips.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With TICKS_STRICT_SKIPS, a skip for a reason that support/skips.py does not list fails the run."""
    if _unexpected_skips and os.environ.get("TICKS_STRICT_SKIPS"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which skips failed the run."""
    if _unexpected_skips and os.environ.get("TICKS_STRICT_SKIPS"):
        terminalreporter.section("skips that fail this run")
        for line in _unexpected_skips:
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or one worker has them to itself at the end while the other one has nothing to do."""
    # Those that run `dagster dev` are not neighbours: two cores have enough to do with one or two.
    long = (
        "test_end_to_end.py",
        "test_handover.py",
        "test_cases.py",
        "test_automation.py",
        "test_day.py",
        "test_a_real_tape.py",
        "test_storage_outage.py",
        "test_dev.py",
        "test_ingest.py",
        "test_faults.py",
        "test_projects.py",
        "test_celery.py",
        "test_upgrade.py",
        "test_bring_up.py",
        "test_supervisor.py",
        "test_wheel.py",
        "test_gaps_of_a_run.py",
        "test_lifecycle.py",
        "test_session.py",
        "test_conformance.py",
        "test_reconnect.py",
        "test_repair.py",
        "test_true_up.py",
    )
    rank = {name: place for place, name in enumerate(long)}
    items.sort(key=lambda item: rank.get(item.path.name, len(long)))
