"""What is checked once a day, on the page of an asset that reports itself every few minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.loader import LoadingContextForTest

from ticks_platform.defs.checks import daily_results

KEY = dg.AssetCheckKey(dg.AssetKey("stocks_real_time"), "every_tick_is_there")


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


def report(instance: dg.DagsterInstance) -> None:
    """As `report_newest` does."""
    for name in ("one_minute_candle", "stocks_real_time"):
        instance.report_runless_asset_event(dg.AssetMaterialization(name))


def check(instance: dg.DagsterInstance, *, passed: bool) -> None:
    """A run of the check."""

    @dg.asset_check(asset=KEY.asset_key, name=KEY.name)
    def judged() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, description="as found", metadata={"missing": 3})

    job = dg.define_asset_job("check_every_tick", dg.AssetSelection.all_asset_checks())
    defs = dg.Definitions(assets=[dg.AssetSpec(KEY.asset_key)], asset_checks=[judged], jobs=[job])
    defs.resolve_job_def("check_every_tick").execute_in_process(instance=instance, raise_on_error=False)


def evaluate(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    """An evaluation of the sensor, after which Dagster stores what it reports."""
    (sensor,) = daily_results.keep_daily_results().sensors or ()
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    for event in result.asset_events:
        instance.report_runless_asset_event(event)
    return result


def is_current(instance: dg.DagsterInstance) -> bool:
    """Whether the page shows the result: one that is not for the latest materialization is grey."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
    return asyncio.run(record.targets_latest_materialization(LoadingContextForTest(instance)))


@pytest.mark.parametrize("passed", [True, False])
def test_a_daily_result_stays_that_of_the_latest_report(instance: dg.DagsterInstance, *, passed: bool) -> None:
    report(instance)
    check(instance, passed=passed)
    report(instance)
    assert not is_current(instance), "what this sensor is for"
    assert len(evaluate(instance).asset_events) == 1
    for _ in range(2):
        assert is_current(instance)
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
        assert record.evaluation is not None
        assert record.evaluation.passed is passed
        assert record.evaluation.description == "as found"
        assert record.evaluation.metadata["missing"] == dg.MetadataValue.int(3)
        assert daily_results.CHECKED_AT in record.evaluation.metadata
        report(instance)
        assert not evaluate(instance).asset_events, "once is enough"
    check(instance, passed=not passed)
    evaluate(instance)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
    assert record.evaluation is not None
    assert record.evaluation.passed is not passed


def test_the_checks_run_once_after_the_first_start(instance: dg.DagsterInstance) -> None:
    assert evaluate(instance).skip_reason is not None
    report(instance)
    (request,) = evaluate(instance).run_requests or ()
    assert request.run_key is not None, "or else it would be launched again and again"
    check(instance, passed=True)
    assert not evaluate(instance).run_requests


def test_a_run_that_ended_without_a_result_is_followed_by_another_one(instance: dg.DagsterInstance) -> None:
    """As one that was killed, or whose settings could not be read."""
    report(instance)

    def plan() -> str:
        run = instance.create_run_for_job(dg.job(name="check_every_tick")(lambda: None))
        planned = AssetCheckEvaluationPlanned(asset_key=KEY.asset_key, check_name=KEY.name)
        instance.report_dagster_event(
            DagsterEvent(
                DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
                run.job_name,
                event_specific_data=planned,
                message="planned",
            ),
            run.run_id,
        )
        return run.run_id

    run_id = plan()
    assert not evaluate(instance).run_requests, "it has not ended"
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    cursor: str | None = None
    for _ in range(daily_results.LOOKS - 1):
        result = evaluate(instance, cursor)
        assert not result.run_requests, "what kept it from its result may last"
        cursor = result.cursor
    (request,) = evaluate(instance, cursor).run_requests or ()
    assert request.run_key == f"after {run_id}"
    check(instance, passed=True)
    result = evaluate(instance, cursor)
    assert not result.run_requests
    assert len(result.asset_events) == 1
