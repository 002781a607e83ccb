"""What is purged of Dagster's own history, and what stays."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ticks_platform import changed_buckets
from ticks_platform.defs.dagster_history import events, runs
from ticks_platform.timescale.policies.settings import DagsterHistory
from ticks_platform_tests.support import skips

pytestmark = pytest.mark.full

KEEP = DagsterHistory(runs=2, failed_runs=1, days=30, reports=3, check_results=2)
FEEDS = dg.StaticPartitionsDefinition(["stocks", "crypto"])


@dg.asset
def table() -> None:
    print("a line in the compute log")


@dg.asset_check(asset=table)
def is_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset
def theirs() -> None:
    pass


@dg.asset(partitions_def=FEEDS)
def by_feed() -> None:
    pass


@dg.op
def work(context: dg.OpExecutionContext) -> None:
    if "fails" in context.run.tags:
        raise dg.Failure("as asked")


@dg.job
def keep_gaps() -> None:
    work()


@dg.job
def of_the_project() -> None:
    work()


OURS = {"keep_gaps", "quality", "repair"}
ASSETS = {dg.AssetKey("table"), dg.AssetKey("by_feed")}
DEFINITIONS = dg.Definitions(
    assets=[table, by_feed, theirs],
    asset_checks=[is_right],
    jobs=[
        keep_gaps,
        of_the_project,
        dg.define_asset_job("quality", selection=[table]),
        dg.define_asset_job("repair", selection=[by_feed]),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sqlite(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance as that of `ticks dev`."""
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture
def instance(sqlite: dg.DagsterInstance) -> dg.DagsterInstance:
    sqlite.wipe()
    return sqlite


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, home: Path, server_url: str | None) -> Iterator[dg.DagsterInstance]:
    """An instance on SQLite, and one on PostgreSQL, as that of compose.yaml."""
    if request.param == "sqlite":
        yield request.getfixturevalue("instance")
        return
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "Dagster's storage in PostgreSQL needs a server")
        return
    drop = "DROP DATABASE IF EXISTS dagster_history WITH (FORCE)"
    execute(server_url, drop, "CREATE DATABASE dagster_history")
    url = urlunsplit(urlsplit(server_url)._replace(scheme="postgresql+psycopg2", path="/dagster_history"))
    overrides = {"storage": {"postgres": {"postgres_url": url}}}
    folder = home / "postgres"
    folder.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(folder), overrides=overrides) as made:
        yield made
    execute(server_url, drop)


def execute(url: str, *statements: str) -> None:
    """Run statements, each outside of any transaction."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def launch(instance: dg.DagsterInstance, job: str, **options: object) -> str:
    """Run a job; returns the run's id."""
    return (
        DEFINITIONS.resolve_job_def(job)
        .execute_in_process(instance=instance, raise_on_error=False, **options)  # type: ignore[arg-type]
        .run_id
    )


def ids(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def purge(instance: dg.DagsterInstance) -> int:
    return runs.purge(instance, runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS))


def files(home: Path) -> set[str]:
    """The names of all files and folders that have a run's id in them."""
    return {path.name.partition(".")[0] for path in home.rglob("*") if path.name.count("-") >= 4}


def test_the_newest_runs_of_each_job_and_partition_stay(instance: dg.DagsterInstance, home: Path) -> None:
    old = [launch(instance, "keep_gaps") for _ in range(2)] + [launch(instance, "keep_gaps", tags={"fails": "1"})]
    crypto = [launch(instance, "repair", partition_key="crypto") for _ in range(3)]
    stocks = launch(instance, "repair", partition_key="stocks")
    new = [launch(instance, "keep_gaps") for _ in range(2)] + [launch(instance, "keep_gaps", tags={"fails": "1"})]
    theirs = [launch(instance, "of_the_project") for _ in range(4)]
    assert set(old) <= files(home)
    assert purge(instance) == 4
    assert ids(instance) == {*crypto[1:], stocks, *new, *theirs}
    assert files(home).isdisjoint([*old, crypto[0]])
    assert set(new) <= files(home)
    assert purge(instance) == 0


def test_a_run_that_has_not_finished_stays(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.resolve_job_def("keep_gaps")
    waiting = [instance.create_run_for_job(job, status=status).run_id for status in runs_in_flight()]
    done = [launch(instance, "keep_gaps") for _ in range(3)]
    assert purge(instance) == 1
    assert ids(instance) == {*waiting, *done[1:]}


def runs_in_flight() -> list[dg.DagsterRunStatus]:
    # A queued one needs a code location.
    done = [*runs.FINISHED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.MANAGED]
    return [status for status in dg.DagsterRunStatus if status not in done]


def test_runs_that_ended_long_ago_go_whatever_their_number(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(instance, "keep_gaps")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29.9 * 86400)
    assert list(runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS)) == []
    monkeypatch.setattr(time, "time", lambda: now + 30.1 * 86400)
    assert len(list(runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS))) == 1


def test_runs_of_assets_alone_are_purged_if_all_of_them_are_ours(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.get_implicit_global_asset_job_def()

    def finish(*names: str) -> None:
        keys = frozenset(dg.AssetKey(name) for name in names)
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS, asset_selection=keys)

    for _ in range(4):
        finish()
        finish("theirs")
        finish("table", "theirs")
    assert list(runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS)) == []
    for _ in range(4):
        finish("table", "by_feed")
    # Of all runs of the one job that is Dagster's own.
    assert len(list(runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS))) == 2


def test_materializations_partitions_and_check_results_survive_their_runs(either: dg.DagsterInstance) -> None:
    for _ in range(3):
        launch(either, "quality")
        launch(either, "repair", partition_key="crypto")
    launch(either, "repair", partition_key="stocks")
    for run_id in ids(either):
        assert runs.purge(either, iter([run_id])) == 1
    assert ids(either) == set()
    assert either.get_latest_materialization_event(dg.AssetKey("table")) is not None
    assert either.get_materialized_partitions(dg.AssetKey("by_feed")) == {"stocks", "crypto"}
    key = dg.AssetCheckKey(dg.AssetKey("table"), "is_right")
    record = either.get_latest_asset_check_evaluation_record(key)
    assert record is not None
    (result,) = either.event_log_storage.get_latest_asset_check_execution_by_key([key]).values()
    assert result.status.value == "SUCCEEDED"
    # One materialization of each partition and of the asset without, and nothing else.
    with either.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        assert connection.execute(sa.select(sa.func.count()).select_from(SqlEventLogStorageTable)).scalar() == 3


def test_what_is_made_of_an_asset_is_told_that_a_purged_run_made_it(instance: dg.DagsterInstance) -> None:
    told = []

    @dg.asset(deps=[table])
    def mine(context: dg.AssetExecutionContext) -> None:
        told.append(changed_buckets(context, "table"))

    def report() -> None:
        event = dg.AssetMaterialization("table", metadata={"changed buckets": dg.MetadataValue.json([])})
        instance.report_runless_asset_event(event)

    def make() -> object:
        assert dg.materialize([mine, table], instance=instance, selection=[mine]).success
        return told.pop()

    report()
    assert [make(), make()] == [None, []]
    rebuilt = launch(instance, "quality")
    report()
    assert runs.purge(instance, iter([rebuilt])) == 1
    assert make() is None, "the run may have changed every bucket"
    assert make() == []


def test_runs_of_another_code_location_are_not_ours_whatever_their_job_is_called(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.resolve_job_def("keep_gaps")
    code = RepositoryPythonOrigin("python", ModuleCodePointer("ours", "definitions"))

    def finish(location: str) -> str:
        target = ManagedGrpcPythonEnvCodeLocationOrigin(
            loadable_target_origin=LoadableTargetOrigin(module_name=location), location_name=location
        )
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(target, "__repository__"), "keep_gaps")
        return instance.create_run_for_job(
            job,
            status=dg.DagsterRunStatus.SUCCESS,
            remote_job_origin=origin,
            job_code_origin=JobPythonOrigin("keep_gaps", code),
        ).run_id

    mine, theirs = [[finish(location) for _ in range(4)] for location in ("ours", "theirs")]
    found = list(runs.surplus(instance, KEEP, jobs=OURS, assets=ASSETS, location="ours"))
    assert set(found) == set(mine[:2])
    assert set(theirs) <= ids(instance)


def test_folders_that_are_no_runs_stay(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Path(instance.storage_directory()) / "my-shares-prices-volumes-and_more_xy"
    assert (len(theirs.name), theirs.name.count("-")) == (36, 4)
    theirs.mkdir(parents=True)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * runs.ORPHAN_AGE)
    runs.delete_orphans(instance)
    assert theirs.is_dir()


def test_no_file_is_made_smaller_where_the_disk_has_no_room_for_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(40):
        instance.report_runless_asset_event(dg.AssetMaterialization("table", metadata={"text": "x" * 100_000}))
    events.purge(instance, KEEP, assets=ASSETS)
    room = shutil.disk_usage("/")
    monkeypatch.setattr(events.shutil, "disk_usage", lambda _path: room._replace(free=100 << 20))
    assert events.compact(instance) == 0
    monkeypatch.undo()
    assert events.compact(instance) > 0


def test_older_reports_and_check_results_go(either: dg.DagsterInstance) -> None:
    for number in range(9):
        for event in (
            dg.AssetMaterialization("table", metadata={"number": number}),
            dg.AssetObservation("table", metadata={"number": number}),
            dg.AssetMaterialization("theirs"),
            dg.AssetCheckEvaluation(check_name="is_right", asset_key=dg.AssetKey("table"), passed=True),
        ):
            either.report_runless_asset_event(event)
    # 6 of each kind of report, 7 results and their events, and on SQLite the copies of all of them but three.
    assert events.purge(either, KEEP, assets=ASSETS) >= 26
    assert len(either.fetch_materializations(dg.AssetKey("table"), limit=100).records) == 3
    assert len(either.fetch_materializations(dg.AssetKey("theirs"), limit=100).records) == 9
    newest = either.get_latest_materialization_event(dg.AssetKey("table"))
    assert newest is not None
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.metadata["number"].value == 8
    key = dg.AssetCheckKey(dg.AssetKey("table"), "is_right")
    assert len(either.event_log_storage.get_asset_check_execution_history(key, limit=100)) == 2
    assert events.purge(either, KEEP, assets=ASSETS) == 0


def test_a_run_that_goes_on_keeps_its_newest_lines_and_all_that_happened(either: dg.DagsterInstance) -> None:
    seen = []

    @dg.op
    def stream(context: dg.OpExecutionContext) -> None:
        for number in range(9):
            context.log.info(f"line {number}")
            context.log_event(dg.AssetObservation("table", metadata={"number": number}))
        events.purge(either, KEEP, assets=ASSETS)
        seen.extend(either.all_logs(context.run_id))

    @dg.job(executor_def=dg.in_process_executor)
    def ingest() -> None:
        stream()

    assert ingest.execute_in_process(instance=either).success
    assert [entry.user_message for entry in seen if not entry.is_dagster_event] == ["line 6", "line 7", "line 8"]
    kinds = [entry.dagster_event_type for entry in seen if entry.is_dagster_event]
    assert dg.DagsterEventType.RUN_START in kinds
    assert dg.DagsterEventType.STEP_START in kinds


def test_files_of_runs_that_are_not_known_go_once_they_are_old(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = launch(instance, "quality"), launch(instance, "quality")
    # As «Delete» in the UI.
    instance.delete_run(gone)
    assert {gone, kept} <= files(home)
    assert runs.delete_orphans(instance) == 0, "files of a run may be there before the run"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * runs.ORPHAN_AGE)
    assert runs.delete_orphans(instance) >= 1
    assert gone not in files(home)
    assert kept in files(home)
    assert (home / "history" / "runs" / "index.db").exists()


def test_files_become_smaller(instance: dg.DagsterInstance, home: Path) -> None:
    index = home / "history" / "runs" / "index.db"
    for _ in range(40):
        instance.report_runless_asset_event(dg.AssetMaterialization("table", metadata={"text": "x" * 100_000}))
    events.purge(instance, KEEP, assets=ASSETS)
    large = index.stat().st_size
    assert events.compact(instance) > 2_000_000
    launch(instance, "quality")
    assert index.stat().st_size < large / 2
