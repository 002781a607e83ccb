"""The job that adopts the tutorial's tables, and the starts before and after it."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from ticks_platform.timescale.adoption.relations import ForeignTablesError
from ticks_platform_tests.support.tutorial import Tutorial

pytestmark = pytest.mark.full


def test_a_start_is_refused_until_the_job_has_run(
    tutorial: Tutorial, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    rows = tutorial.rows()
    platform = load()

    def run(job: str, **config: object) -> dg.ExecuteInProcessResult:
        run_config = {"ops": {"adopt": {"config": config}}} if config else None
        return platform.resolve_job_def(job).execute_in_process(
            instance=instance, run_config=run_config, raise_on_error=False
        )

    refused = run("bring_up")
    assert not refused.success
    (failure,) = (event for event in refused.get_step_failure_events() if event.step_key == "stocks_real_time")
    error = failure.step_failure_data.error
    assert error is not None
    assert ForeignTablesError.__name__ in str(error)
    assert "ticks database adopt --dry-run" in str(error)
    structure = tutorial.structure()
    assert run("adopt_tables", dry_run=True).success
    assert tutorial.structure() == structure
    assert run("adopt_tables", dry_run=False).success
    assert run("bring_up").success
    assert tutorial.rows() == rows
    assert tutorial.ask("SELECT count(DISTINCT bucket) FROM one_hour_candle") == [(250,)]
    checks = run("check_quality")
    failed = [each.check_name for each in checks.get_asset_check_evaluations() if not each.passed]
    # No feed runs, and nobody runs the policies.
    assert set(failed) <= {"ticks_are_fresh", "channels_are_streaming", "refreshes_keep_up", "scheduler_is_running"}
