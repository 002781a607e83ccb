"""What the tests share: a real TimescaleDB with the platform in it, and real feeds on loopback."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy

from ticks_platform.paths import project_root
from ticks_platform.standin import StandIn, StandInSettings
from ticks_platform.timescale import embedded, scripts
from ticks_platform.timescale.database import Database
from ticks_platform_tests.workers import stopped_workers

CANDLES = (
    "candles/one_minute_candle.sql",
    "candles/one_hour_candle.sql",
    "candles/one_day_candle.sql",
    "candles/one_minute_candle_volume.sql",
    "candles/one_minute_candle_filled.sql",
    "candles/session_day_candle.sql",
)
POLICIES = (
    "policies/one_minute_candle_refresh.sql",
    "policies/one_hour_candle_refresh.sql",
    "policies/one_day_candle_refresh.sql",
)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never touch the database or the history of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKS_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.delenv("TICKS_DATABASE_URL", raising=False)
        patch.delenv("DAGSTER_HOME", raising=False)
        patch.delenv("TICKS_ALERT_WEBHOOK", raising=False)
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
            yield embedded.ensure_running(data_dir)
        finally:
            embedded.stop(data_dir)
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


@pytest.fixture
def empty_database(database_url: str, server_url: str | None) -> Database:
    """A database without the platform, whatever an earlier test left."""
    database = Database(database_url)
    with database.autocommit() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        with stopped_workers(cursor, native=server_url is not None):
            for candle in ("one_day_candle", "one_hour_candle", "one_minute_candle"):
                cursor.execute(f"DROP MATERIALIZED VIEW IF EXISTS {candle} CASCADE")
            for table in ("stocks_real_time", "stock_quotes", "stock_aggregates"):
                cursor.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
            cursor.execute("DROP TABLE IF EXISTS company")
            cursor.execute("DROP SCHEMA IF EXISTS ticks_platform CASCADE")
    return database


@pytest.fixture
def database(empty_database: Database) -> Database:
    """A database with hypertable, machinery and candles, and nothing in them. Policies are left to the tests."""
    with empty_database.transaction() as cursor:
        scripts.apply(cursor, *scripts.HYPERTABLE, *scripts.MACHINERY, "schema/company.sql", *CANDLES)
    return empty_database


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that sends nothing by itself and keeps account of what it was told to send."""
    with StandIn(StandInSettings(rate=0, record=True)) as server:
        yield server


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The checkout."""
    return project_root()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or one worker has them to itself at the end while the other one has nothing to do."""
    long = ("test_end_to_end.py", "test_faults.py")
    items.sort(key=lambda item: item.path.name not in long)
