"""The definitions as a whole: they load, they explain themselves, and they give no secret away."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster.components.definitions import LazyDefinitions

from ticks_platform import definitions
from ticks_platform import defs as folders
from ticks_platform.defs.common import project as project_files
from ticks_platform.feeds.settings import PlatformSettings, SettingsError, load_settings

OBJECTS = (
    dg.AssetsDefinition,
    dg.JobDefinition,
    dg.ScheduleDefinition,
    dg.SensorDefinition,
    type(dg.define_asset_job("any")),
)
"""What Dagster loads of a module by itself."""

JOBS = {
    "ingest",
    "enable_feed",
    "disable_feed",
    "hand_over",
    "repair",
    "true_up_day",
    "bring_up",
    "refresh_candles",
    "adopt_tables",
    "apply_primary_feeds",
    "rename_symbols",
    "declare_gone",
    "declare_lost",
    "reload_rejected",
    "catch_up",
    "keep_market_calendar",
    "keep_instruments",
    "follow_corporate_actions",
    "keep_gaps",
    "rebuild_candle",
    "refresh_days",
    "apply_condition_rules",
    "fetch_history",
    "check_quality",
    "check_every_tick",
    "purge_dagster_history",
}
POLICIES = {
    "one_minute_candle_refresh_policy",
    "one_hour_candle_refresh_policy",
    "one_day_candle_refresh_policy",
    "stocks_real_time_columnstore_policy",
    "stocks_real_time_retention_policy",
    "stock_quotes_retention_policy",
    "stock_aggregates_retention_policy",
    "feed_notes_retention_policy",
}
GROUPS = {"ticks", "calendar", "candles", "policies", "gaps", "repair"}
SCHEDULES = {
    "refresh_candles",
    "catch_up",
    "keep_market_calendar",
    "keep_instruments",
    "follow_corporate_actions",
    "keep_gaps",
    "check_quality",
    "check_every_tick",
    "purge_dagster_history",
}


def build_location(repository_root: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Build the code location from workspace.yaml, as Dagster's servers do."""
    return subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(repository_root / "workspace.yaml")],
        cwd=cwd,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def test_loadable(platform: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(platform)


@pytest.mark.full
def test_location_of_workspace_yaml(repository_root: Path, project: Path) -> None:
    built = build_location(repository_root, project)
    assert built.returncode == 0, built.stdout
    assert "Validation successful for code location ticks_platform" in built.stdout


def test_dg_and_dagster_dev_load_the_same_location(repository_root: Path) -> None:
    """`dagster dev` ignores workspace.yaml where pyproject.toml has settings for dg."""
    workspace = yaml.safe_load((repository_root / "workspace.yaml").read_text(encoding="utf-8"))
    (location,) = workspace["load_from"]
    name = location["python_module"]["location_name"]
    assert f'\ncode_location_name = "{name}"\n' in (repository_root / "dg.toml").read_text(encoding="utf-8")
    pyproject = (repository_root / "pyproject.toml").read_text(encoding="utf-8")
    assert "[tool.dg" not in pyproject
    assert "[tool.dagster" not in pyproject


def test_shipped_feeds_yaml(repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TICKS_PROJECT_DIR", raising=False)
    dg.Definitions.validate_loadable(definitions.defs())


def modules() -> list[str]:
    """All modules that Dagster loads by folder."""
    folder = Path(next(iter(folders.__path__)))
    found = sorted(path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py"))
    return [".".join(("ticks_platform", *path.parts)).removesuffix(".__init__") for path in found]


@pytest.mark.full
def test_nothing_is_read_at_import(project: Path) -> None:
    """What is wrong with the project folder must fail the location's load, which Dagster shows, not an import."""
    (project / "feeds.yaml").unlink()
    (project / "policies.yaml").unlink()
    (project / "sql").unlink()
    code = f"import os; os.environ.clear(); import ticks_platform.definitions, {', '.join(modules())}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", modules())
def test_a_module_has_either_functions_that_dagster_calls_or_objects(module: str) -> None:
    """Of a module with functions marked @dg.definitions Dagster loads nothing else, and imported ones twice."""
    loaded = vars(importlib.import_module(module))
    functions = {name for name, value in loaded.items() if isinstance(value, LazyDefinitions)}
    objects = {name for name, value in loaded.items() if isinstance(value, OBJECTS)}
    tree = ast.parse(Path(loaded["__file__"]).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not functions & imported
    assert not functions or objects <= imported


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("provider: twelve_data", "provider: bloomberg", "feeds.stocks.provider"),
        ("endpoint: stand-in", "endpoint: http://example.org", "feeds.stocks.endpoint"),
        ("symbols: {AAPL: Apple, MSFT: Microsoft}", "symbols: {}", "feeds.stocks.symbols"),
        ("stale_after_seconds: 300", "stale_after_seconds: soon", "feeds.crypto.stale_after_seconds"),
        ("stale_after_seconds: 300", "stale_after: 300", "feeds.crypto.stale_after"),
    ],
)
def test_wrong_settings_are_named(project: Path, old: str, new: str, field: str) -> None:
    file = project / "feeds.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingsError) as wrong:
        definitions.defs()
    assert str(file) in str(wrong.value)
    assert f"{field}: " in str(wrong.value)


@pytest.mark.full
def test_wrong_settings_fail_the_location(repository_root: Path, project: Path) -> None:
    (project / "feeds.yaml").write_text("feeds: {stocks: {provider: bloomberg, symbols: [AAPL]}}", encoding="utf-8")
    built = build_location(repository_root, project)
    assert built.returncode != 0
    assert str(project / "feeds.yaml") in built.stdout
    assert "feeds.stocks.provider: " in built.stdout


def test_jobs_of_people_are_told_apart_from_what_runs_by_itself(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    for name in JOBS:
        job = repository.get_job(name)
        by_itself = "aunched by" in (job.description or "") or name == "ingest"
        assert (job.tags.get("for") == "operators") is not by_itself, name


def test_what_there_is(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    assert set(repository.job_names) == JOBS | {"__ASSET_JOB"}
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "keep_daily_results",
        "platform_supervisor",
        "repair_gaps",
        "report_newest",
        "true_up_days",
    }
    assert {schedule.name for schedule in repository.schedule_defs} == SCHEDULES
    assert {(key.asset_key.to_user_string(), key.name) for key in repository.asset_graph.asset_check_keys} == {
        ("stocks_real_time", "ticks_are_fresh"),
        ("stocks_real_time", "channels_are_streaming"),
        ("stocks_real_time", "clocks_are_right"),
        ("stocks_real_time", "symbols_have_one_primary_feed"),
        ("stocks_real_time", "ledger_balances"),
        ("stocks_real_time", "every_tick_is_there"),
        ("stocks_real_time", "rows_by_hand_are_no_copies"),
        ("stocks_real_time", "conditions_are_known"),
        ("stocks_real_time", "optional_fields_are_readable"),
        ("stocks_real_time", "rejected_events_are_few"),
        ("corporate_actions", "split_factors_agree"),
        ("stocks_real_time", "journal_has_room"),
        ("one_minute_candle", "ohlc_invariants"),
        ("one_hour_candle", "ohlc_invariants"),
        ("one_day_candle", "ohlc_invariants"),
        ("one_minute_candle", "candles_equal_ticks"),
        ("one_hour_candle", "candles_equal_finer"),
        ("one_day_candle", "candles_equal_finer"),
        ("one_minute_candle", "no_ticks_from_the_future"),
        ("stocks_real_time", "prices_are_positive_and_finite"),
        ("one_minute_candle", "no_duplicate_bucket"),
        ("one_hour_candle", "no_duplicate_bucket"),
        ("one_day_candle", "no_duplicate_bucket"),
        ("one_minute_candle", "day_volume_is_monotone"),
        ("one_minute_candle", "prices_do_not_jump"),
        ("one_minute_candle", "session_is_complete"),
        ("one_minute_candle", "candles_equal_bars"),
        ("one_minute_candle", "refreshes_keep_up"),
        ("one_hour_candle", "refreshes_keep_up"),
        ("one_day_candle", "refreshes_keep_up"),
        ("feed_gaps", "gaps_are_closed"),
        ("true_up", "days_are_trued_up"),
        ("one_minute_candle", "only_its_owner_writes"),
        ("one_hour_candle", "only_its_owner_writes"),
        ("one_day_candle", "only_its_owner_writes"),
        ("one_minute_candle", "definition_is_as_in_its_file"),
        ("one_hour_candle", "definition_is_as_in_its_file"),
        ("one_day_candle", "definition_is_as_in_its_file"),
    } | {(policy, "policy_is_as_declared") for policy in POLICIES}


def test_everything_is_described(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    described = {f"asset {spec.key.to_user_string()}": spec.description for spec in platform.resolve_all_asset_specs()}
    for key in repository.asset_graph.asset_check_keys:
        described[f"check {key.name}"] = repository.asset_graph.get_check_spec(key).description
    for name in JOBS:
        job = repository.get_job(name)
        described[f"job {name}"] = job.description
        if name in ("ingest", "enable_feed", "disable_feed", "hand_over"):
            described |= {f"op {op.name}": op.definition.description for op in job.nodes}
    described |= {f"sensor {sensor.name}": sensor.description for sensor in repository.sensor_defs}
    described |= {f"schedule {schedule.name}": schedule.description for schedule in repository.schedule_defs}
    assert {name.split()[0] for name in described} == {"asset", "check", "job", "op", "sensor", "schedule"}
    assert [name for name, description in described.items() if not (description or "").strip()] == []


def test_assets_say_whose_they_are(platform: dg.Definitions) -> None:
    for spec in platform.resolve_all_asset_specs():
        assert spec.group_name in GROUPS, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key


def test_dependencies(platform: dg.Definitions) -> None:
    upstream = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in platform.resolve_all_asset_specs()
    }
    assert upstream == {
        "company": set(),
        "instrument": {"stocks_real_time", "instrument_reference"},
        "instrument_reference": {"stocks_real_time"},
        "corporate_actions": {"stocks_real_time"},
        "market_calendar": {"stocks_real_time"},
        "stocks_real_time": set(),
        "stock_quotes": set(),
        "stock_aggregates": set(),
        "one_minute_candle": {"stocks_real_time"},
        "one_hour_candle": {"one_minute_candle"},
        "one_day_candle": {"one_hour_candle"},
        "feed_gaps": {"stocks_real_time", "one_minute_candle", "market_calendar"},
        "gap_repair": {"feed_gaps"},
        "true_up": {"feed_gaps"},
        "one_minute_candle_refresh_policy": {"one_minute_candle"},
        "one_hour_candle_refresh_policy": {"one_hour_candle"},
        "one_day_candle_refresh_policy": {"one_day_candle"},
        "stocks_real_time_columnstore_policy": {"stocks_real_time"},
        "stocks_real_time_retention_policy": {"stocks_real_time"},
        "stock_quotes_retention_policy": {"stock_quotes", "stocks_real_time"},
        "stock_aggregates_retention_policy": {"stock_aggregates", "stocks_real_time"},
        "feed_notes_retention_policy": {"stocks_real_time"},
    }


def test_arrows_between_groups_go_one_way(platform: dg.Definitions) -> None:
    """In the first picture that a user sees, data goes from left to right."""
    specs = {spec.key: spec for spec in platform.resolve_all_asset_specs()}
    arrows = {
        (specs[dep.asset_key].group_name, spec.group_name)
        for spec in specs.values()
        for dep in spec.deps
        if specs[dep.asset_key].group_name != spec.group_name
    }
    assert arrows == {
        ("ticks", "candles"),
        ("ticks", "policies"),
        ("candles", "policies"),
        ("ticks", "calendar"),
        ("ticks", "gaps"),
        ("candles", "gaps"),
        ("calendar", "gaps"),
        ("gaps", "repair"),
    }
    # Raises CycleError where arrows go in a circle.
    order = TopologicalSorter({group: {begin for begin, end in arrows if end == group} for group in GROUPS})
    assert len(list(order.static_order())) == len(GROUPS)


def test_jobs_leave_what_is_not_ours_alone(platform: dg.Definitions) -> None:
    """A project may merge these definitions with its own."""

    @dg.asset(group_name="theirs", deps=["one_day_candle"])
    def theirs() -> None: ...

    @dg.asset_check(asset=theirs)
    def is_theirs() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    def selected(definitions: dg.Definitions) -> dict[str, tuple[Any, Any]]:
        layers = {name: definitions.resolve_job_def(name).asset_layer for name in JOBS}
        return {
            name: (layer.selected_asset_keys, layer.asset_graph.asset_check_keys if layer.selected_asset_keys else None)
            for name, layer in layers.items()
        }

    merged = dg.Definitions.merge(platform, dg.Definitions(assets=[theirs], asset_checks=[is_theirs]))
    assert selected(merged) == selected(platform)


def test_sensors_and_schedules_run_by_default(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name


def test_definition_shown_is_the_file(platform: dg.Definitions, repository_root: Path) -> None:
    shown = {spec.key.to_user_string(): spec.metadata for spec in platform.resolve_all_asset_specs()}
    for metadata in shown.values():
        file = repository_root / metadata["file"].path
        assert file.read_text(encoding="utf-8") in metadata["definition"].md_str


def test_feeds_are_the_partitions(platform: dg.Definitions) -> None:
    for name in ("ingest", "enable_feed", "disable_feed", "hand_over"):
        partitions = platform.resolve_job_def(name).partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys() == ["stocks", "crypto"]


def test_reload_takes_new_feeds_in(project: Path, load: Callable[[], dg.Definitions]) -> None:
    load()
    (project / "feeds.yaml").write_text(
        "feeds: {forex: {provider: twelve_data, endpoint: stand-in, symbols: [EUR/USD]}}", encoding="utf-8"
    )
    partitions = load().resolve_job_def("ingest").partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == ["forex"]


def test_one_load_reads_the_feeds_once(load: Callable[[], dg.Definitions], monkeypatch: pytest.MonkeyPatch) -> None:
    """So that all definitions of it are made from the same version of the file."""
    read: list[Path] = []

    def note(path: Path) -> PlatformSettings:
        read.append(path)
        return load_settings(path)

    monkeypatch.setattr(project_files, "load_settings", note)
    load()
    assert len(read) == 1


def test_runs_of_one_feed_are_known_by_its_tag(platform: dg.Definitions) -> None:
    """dagster.yaml limits runs by this tag and the supervisor finds them by it, whoever has launched them."""
    tags = platform.resolve_job_def("ingest").get_tags_for_partition_key("crypto", selected_asset_keys=None)
    assert tags["ticks/feed"] == "crypto"


@pytest.mark.parametrize("name", ["bring_up", "refresh_candles", "check_quality", "check_every_tick"])
def test_runs_that_died_do_not_stay_in_the_way(platform: dg.Definitions, name: str) -> None:
    assert float(platform.resolve_job_def(name).tags["dagster/max_runtime"]) <= 3600


def test_ingestion_may_run_for_ever(platform: dg.Definitions) -> None:
    tags = platform.resolve_job_def("ingest").tags
    assert "dagster/max_runtime" not in tags
    assert tags["dagster/max_retries"] == "0"


def test_password_is_not_in_the_definitions(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://someone:s3cr3t-word@db.example.org/ticks")
    platform = definitions.defs()
    serialized = dg.serialize_value(RepositorySnap.from_def(platform.get_repository_def()))
    assert "TICKS_DATABASE_URL" in serialized
    assert "s3cr3t-word" not in serialized
    for key, resource in (platform.resources or {}).items():
        assert "s3cr3t-word" not in repr(resource), key


@pytest.mark.parametrize("name", ["enable_feed", "disable_feed", "hand_over"])
def test_jobs_about_a_feed_ask_which(platform: dg.Definitions, name: str) -> None:
    """The launchpad refuses what this refuses, and so does `dagster job launch`, before there is a run."""
    job = platform.resolve_job_def(name)
    asked = dg.validate_run_config
    with pytest.raises(dg.DagsterInvalidConfigError, match="Missing required config entry"):
        asked(job, {})
    with pytest.raises(dg.DagsterInvalidConfigError, match="not in enum type Feed"):
        asked(job, {"ops": {f"{name}_op": {"config": {"feed": "nobody"}}}})
    asked(job, {"ops": {f"{name}_op": {"config": {"feed": "crypto"}}}})


@pytest.mark.parametrize("name", ["ingest", "reload_rejected"])
def test_a_job_without_its_partition_fails_in_words(
    platform: dg.Definitions, instance: dg.DagsterInstance, name: str
) -> None:
    result = platform.resolve_job_def(name).execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.error is not None
    assert f"job {name}: select the feed, which is its partition" in str(failure.step_failure_data.error)


def test_what_a_person_waits_for_comes_before_routine_runs(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    priority = {name: int(repository.get_job(name).tags.get("dagster/priority", "0")) for name in JOBS}
    urgent = {"disable_feed", "enable_feed", "hand_over"}
    routine = set(priority) - urgent - {"ingest"}
    assert min(priority[name] for name in urgent) > priority["ingest"] > max(priority[name] for name in routine)
    assert min(priority, key=priority.__getitem__) == "purge_dagster_history"


def test_jobs_that_a_person_launches_are_told_apart(platform: dg.Definitions) -> None:
    repository = platform.get_repository_def()
    launched = {schedule.job_name for schedule in repository.schedule_defs}
    launched |= {target.job_name for sensor in repository.sensor_defs for target in sensor.targets}
    by_hand = {name for name in JOBS if repository.get_job(name).tags.get("for") == "operators"}
    assert by_hand == JOBS - launched - {"ingest", "bring_up", "repair", "true_up_day"}


def test_assets_have_no_days_that_would_be_shown_as_missing(platform: dg.Definitions) -> None:
    partitions = {
        spec.key.to_user_string(): spec.partitions_def
        for spec in platform.resolve_all_asset_specs()
        if spec.partitions_def is not None
    }
    assert list(partitions) == ["gap_repair"]
    assert partitions["gap_repair"].get_partition_keys() == ["stocks", "crypto"]
