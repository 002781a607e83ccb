"""The platform as Dagster loads it, on a database and an instance of the tests' own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform import definitions
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.dagster import checked
from ticks_platform_tests.support.workers import stopped_workers

FEEDS = """
feeds:
  stocks:
    provider: twelve_data
    endpoint: stand-in
    symbols: {AAPL: Apple, MSFT: Microsoft}
  crypto:
    provider: twelve_data
    endpoint: stand-in
    stale_after_seconds: 300
    symbols: {BTC/USD: Bitcoin}
"""


@pytest.fixture(scope="session")
def project_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project of one test after the other is."""
    return tmp_path_factory.mktemp("projects") / "project"


@pytest.fixture
def project(project_folder: Path, repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder with the platform's own SQL, and a feeds.yaml and a policies.yaml that a test may change."""
    project_folder.mkdir()
    (project_folder / "sql").symlink_to(repository_root / "sql", target_is_directory=True)
    (project_folder / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    shutil.copy(repository_root / "policies.yaml", project_folder)
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(project_folder))
    monkeypatch.setenv("TICKS_STATE_DIR", str(project_folder / "state"))
    yield project_folder
    shutil.rmtree(project_folder)


@pytest.fixture
def load(project: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dg.Definitions]:
    """Loads the definitions of the project folder, as a code location does when it is loaded or reloaded."""
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)
    return definitions.defs


@pytest.fixture(scope="session")
def loaded() -> dict[object, dg.Definitions]:
    """Definitions by all that they are made of."""
    return {}


@pytest.fixture
def platform(project: Path, load: Callable[[], dg.Definitions], loaded: dict[object, dg.Definitions]) -> dg.Definitions:
    """The definitions with two feeds, or with those that a test has written before it asks for them."""
    files = [(project / name).read_bytes() for name in ("feeds.yaml", "policies.yaml")]
    key = (*files, *sorted(item for item in os.environ.items() if item[0].startswith("TICKS_")))
    if key not in loaded:
        loaded[key] = load()
    return loaded[key]


@pytest.fixture(scope="module")
def one_instance() -> Iterator[dg.DagsterInstance]:
    """An instance for one test after the other; Dagster takes longer to make one than most tests take."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def instance(one_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance that knows of no run and no asset, and remembers for as long as the test lasts."""
    one_instance.wipe()
    return one_instance


@pytest.fixture
def run_job(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    """Runs a job of the platform; a failed one is returned like one that succeeded."""

    def run(
        name: str, partition_key: str | None = None, run_config: Mapping[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        return platform.resolve_job_def(name).execute_in_process(
            instance=instance, partition_key=partition_key, run_config=run_config, raise_on_error=False
        )

    return run


@pytest.fixture
def no_scheduler(server_url: str | None) -> None:
    """For what happens where the database does not run its policies by itself, as the embedded one never does."""
    if server_url is not None:
        skips.skip(skips.ONLY_EMBEDDED, "a native server runs its policies by itself")


@pytest.fixture
def scheduler(server_url: str | None) -> None:
    """For what happens where the database runs its policies by itself, as a native server does."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded one has no background workers")


@pytest.fixture
def fresh(empty_database: Database, server_url: str | None) -> Iterator[Database]:
    """A database without the platform, for tests that make policies; it is left without policies."""
    yield empty_database
    if server_url is None:
        return
    with empty_database.autocommit() as cursor, stopped_workers(cursor, native=True):
        cursor.execute(
            "SELECT delete_job(job_id) FROM timescaledb_information.jobs "
            "WHERE hypertable_name IS NOT NULL OR proc_schema = 'ticks_platform'"
        )


@pytest.fixture
def check_one(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[..., dg.AssetCheckEvaluation]:
    """Runs one check alone, as from the UI. Where it is a blocking one and an error, its run fails, as it should."""

    def check(name: str, asset: str = "one_minute_candle") -> dg.AssetCheckEvaluation:
        (evaluation,) = checked(platform, instance, name, asset)
        return evaluation

    return check
