"""A changed file of a candle: the check says so, materializing changes nothing, and a job rebuilds the candle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.defs.candles.rebuild import CandleName
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import ERROR, CheckOne

CHECK = "definition_is_as_in_its_file"


@pytest.fixture
def file(project: Path, repository_root: Path) -> Path:
    """The file of the candles of a day, which a test may change."""
    (project / "sql").unlink()
    shutil.copytree(repository_root / "sql", project / "sql")
    return project / "sql" / "candles" / "one_day_candle.sql"


@pytest.fixture
def rebuild(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    """Runs the job for the candles of a day."""

    def run(**config: Any) -> dg.ExecuteInProcessResult:
        return platform.resolve_job_def("rebuild_candle").execute_in_process(
            run_config={"ops": {"rebuild_candle_op": {"config": {"candle": "one_day_candle", **config}}}},
            instance=instance,
            raise_on_error=False,
        )

    return run


def identity(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT 'one_day_candle'::regclass::oid::int")
        (oid,) = cursor.fetchone() or (0,)
    return int(oid)


def test_a_changed_file_is_applied_when_somebody_says_so(
    fresh: Database,
    database: Database,
    file: Path,
    platform: dg.Definitions,
    instance: dg.DagsterInstance,
    check_one: CheckOne,
    rebuild: Callable[..., dg.ExecuteInProcessResult],
) -> None:
    before = identity(database)
    assert check_one(CHECK, "one_day_candle").passed
    text = file.read_text(encoding="utf-8")
    text = text.replace("max(high) AS high,", "max(high) AS high,\n    max(high) - min(low) AS spread,")
    file.write_text(text + "COMMENT ON COLUMN one_day_candle.spread IS 'From low to high.';\n", encoding="utf-8")
    found = check_one(CHECK, "one_day_candle")
    assert (found.passed, found.severity) == (False, ERROR)
    assert "run the job rebuild_candle" in (found.description or "")
    assert "AS spread" in str(found.metadata["difference"].value)
    result = dg.materialize([platform.resolve_assets_def("one_day_candle")], instance=instance)
    (materialization,) = result.asset_materializations_for_node("one_day_candle")
    assert "rebuild_candle" in str(materialization.metadata["definition in the database"].value)
    dry = rebuild()
    assert dry.success
    assert identity(database) == before
    assert not check_one(CHECK, "one_day_candle").passed
    done = rebuild(dry_run=False)
    assert done.success
    observed = [event.asset_key.to_user_string() for event in done.get_asset_observation_events() if event.asset_key]
    assert observed == ["one_day_candle"]
    assert identity(database) != before
    assert check_one(CHECK, "one_day_candle").passed
    assert check_one("policy_is_as_declared", "one_day_candle_refresh_policy").passed
    again = rebuild(dry_run=False)
    assert again.success
    assert again.get_asset_observation_events() == [], "there is nothing to rebuild"


def test_a_rebuild_that_the_database_refuses_fails_with_its_words(
    database: Database, file: Path, rebuild: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    with database.transaction() as cursor:
        cursor.execute("CREATE VIEW ranges AS SELECT high - low AS spread FROM one_day_candle")
    try:
        text = file.read_text(encoding="utf-8").replace("max(high) AS high,", "max(high)::text AS high,")
        file.write_text(text, encoding="utf-8")
        refused = rebuild()
    finally:
        with database.transaction() as cursor:
            cursor.execute("DROP VIEW ranges")
    assert not refused.success
    (failure,) = refused.get_step_failure_events()
    assert "the database refuses it: operator does not exist: text " in str(
        failure.step_failure_data.error_display_string
    )


def test_every_candle_can_be_rebuilt() -> None:
    assert [name.value for name in CandleName] == [candle.name for candle in CANDLES]
