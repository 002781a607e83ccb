"""The platform in somebody else's project: merged as definitions, and as a component."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform import platform_definitions
from ticks_platform.feeds.settings import SettingsError
from ticks_platform_tests.support.ingestion import rows

OURS = {"database", "ingestion"}

DEFS_YAML = """
type: ticks_platform.Platform

attributes:
  feeds:
    tape:
      provider: polygon
      endpoint: stand-in
      options: {market: stocks}
      symbols: [AAPL]
  stand_in: {rate: 5}
"""


def theirs() -> dg.Definitions:
    """What a project may have that is like ours, or stands in the way of ours."""

    @dg.asset(
        deps=["one_minute_candle"], group_name="candles", partitions_def=dg.DailyPartitionsDefinition("2026-01-01")
    )
    def features() -> None:
        """By day, and in a group of ours."""

    @dg.asset(deps=["one_hour_candle"], automation_condition=dg.AutomationCondition.eager(), group_name="policies")
    def signal() -> None:
        """Runs by itself."""

    return dg.Definitions(
        assets=[features, signal],
        jobs=[dg.define_asset_job("all_of_mine", dg.AssetSelection.assets("signal"))],
        sensors=[dg.AutomationConditionSensorDefinition("mine", target=dg.AssetSelection.assets("signal", "features"))],
        resources={"database": "mine", "ingestion": "mine"},
        executor=dg.multiprocess_executor,
        loggers={"mine": dg.colored_console_logger},
    )


@pytest.fixture
def merged(load: Callable[[], dg.Definitions]) -> dg.Definitions:
    """Their project with ours in it; the project folder and its database are the tests'."""
    return dg.Definitions.merge(platform_definitions(), theirs())


def test_it_loads_and_no_job_of_ours_has_an_asset_of_theirs(merged: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(merged)
    repository = merged.get_repository_def()
    ours = platform_definitions().get_repository_def()
    keys = set(ours.asset_graph.get_all_asset_keys())
    names = {job.name for job in ours.get_all_jobs()} - {"__ASSET_JOB"}
    assert len(names) == 26
    for name in names:
        job = repository.get_job(name)
        assert set(job.asset_layer.executable_asset_keys) <= keys, name
        assert job.executor_def.name == "in_process", name
        partitioned = {"ingest", "repair", "hand_over", "enable_feed", "disable_feed", "reload_rejected"}
        assert job.partitions_def is None or name in partitioned, name
    assert repository.get_job("all_of_mine").executor_def.name == "multiprocess"


def test_nothing_of_ours_has_a_common_name(load: Callable[[], dg.Definitions]) -> None:
    ours = platform_definitions()
    assert ours.executor is None
    assert not ours.loggers
    assert all(key.startswith("ticks_") for key in ours.resources or {})


@pytest.mark.full
def test_both_run(merged: dg.Definitions, instance: dg.DagsterInstance, empty_database: object) -> None:
    repository = merged.get_repository_def()
    assert repository.get_job("bring_up").execute_in_process(instance=instance).success
    assert repository.get_job("all_of_mine").execute_in_process(instance=instance).success
    assert rows(empty_database, "SELECT count(*) FROM one_minute_candle") == [(0,)]  # type: ignore[arg-type]


def test_other_files_than_those_of_the_project(load: Callable[[], dg.Definitions], tmp_path: Path) -> None:
    feeds = tmp_path / "others.yaml"
    feeds.write_text("feeds: {coins: {provider: coinbase, symbols: [BTC-USD]}}", encoding="utf-8")
    repository = platform_definitions(feeds_file=feeds).get_repository_def()
    assert repository.get_job("ingest").partitions_def.get_partition_keys() == ["coins"]
    with pytest.raises(SettingsError, match=r"missing\.yaml"):
        platform_definitions(policies_file=tmp_path / "missing.yaml")


@pytest.fixture
def component(
    load: Callable[[], dg.Definitions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dg.Definitions]:
    """Loads a dg project with this defs.yaml, and their asset beside it."""
    number = iter(range(9))

    def make(defs_yaml: str) -> dg.Definitions:
        name = f"their_project_{next(number)}"
        folder = tmp_path / name
        (folder / name / "defs" / "platform").mkdir(parents=True)
        for package in (folder / name, folder / name / "defs"):
            (package / "__init__.py").touch()
        (folder / "dg.toml").write_text(
            f'directory_type = "project"\n[project]\nroot_module = "{name}"\n', encoding="utf-8"
        )
        (folder / name / "defs/platform/defs.yaml").write_text(defs_yaml, encoding="utf-8")
        asset = "import dagster as dg\n\n@dg.asset(deps=['one_day_candle'])\ndef mine() -> None: ...\n"
        (folder / name / "defs/mine.py").write_text(asset, encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return dg.load_from_defs_folder(path_within_project=folder)

    yield make
    for module in [module for module in sys.modules if module.startswith("their_project_")]:
        del sys.modules[module]


def test_the_component_has_feeds_and_policies_as_attributes(component: Callable[[str], dg.Definitions]) -> None:
    repository = component(DEFS_YAML).get_repository_def()
    assert repository.get_job("ingest").partitions_def.get_partition_keys() == ["tape"]
    assert dg.AssetKey("mine") in repository.asset_graph.get_all_asset_keys()
    bring_up = repository.get_job("bring_up").asset_layer.executable_asset_keys
    assert dg.AssetKey("mine") not in bring_up
    assert dg.AssetKey("one_day_candle") in bring_up


def test_the_component_without_attributes_takes_the_files_of_the_project(
    component: Callable[[str], dg.Definitions],
) -> None:
    repository = component("type: ticks_platform.Platform\n").get_repository_def()
    assert set(repository.get_job("ingest").partitions_def.get_partition_keys()) == {"stocks", "crypto"}


def reasons(error: BaseException | None) -> str:
    """An error and its causes."""
    return "" if error is None else f"{error}\n{reasons(error.__cause__)}"


def test_a_misspelt_attribute_is_told_with_its_place(component: Callable[[str], dg.Definitions]) -> None:
    with pytest.raises(Exception, match="platform") as told:
        component(DEFS_YAML.replace("stand_in: {rate", "stand_inn: {rate"))
    assert "stand_inn" in reasons(told.value)
    with pytest.raises(Exception, match="platform") as told:
        component(DEFS_YAML.replace("symbols: [AAPL]", "simbols: [AAPL]"))
    assert "simbols" in reasons(told.value)
