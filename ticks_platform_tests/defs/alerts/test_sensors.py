"""The sensors that alert: what they post, what they keep to themselves, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ticks_platform.alerts import webhook
from ticks_platform.alerts.webhook import WebhookError
from ticks_platform.defs.alerts import failed_checks, failed_runs, posting
from ticks_platform_tests.support.webhook_receiver import Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "PAUSES", ())
    with receiving() as receiver:
        monkeypatch.setenv("TICKS_ALERT_WEBHOOK", receiver.url)
        yield receiver


class Rig:
    """One asset with a check whose result a test sets, and one job that ends as a test wants."""

    def __init__(self, instance: dg.DagsterInstance, url: str) -> None:
        self.instance = instance
        self.passed = True
        self.severity = dg.AssetCheckSeverity.ERROR
        self.error: BaseException | None = None
        self.cursor: str | None = None

        @dg.asset
        def table() -> None: ...

        @dg.asset_check(asset="table")
        def is_right() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=self.passed, severity=self.severity, description="3 of 4 are broken")

        @dg.op
        def work() -> None:
            if self.error is not None:
                raise self.error

        @dg.job
        def job() -> None:
            work()

        self.defs = dg.Definitions(assets=[table], asset_checks=[is_right], jobs=[job], executor=dg.in_process_executor)
        self.job = job
        self.resource = posting.AlertsResource(url=url)

    def check(self, *, passed: bool) -> None:
        """Run the check, then the sensor."""
        self.passed = passed
        job = self.defs.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=self.instance).success
        self.look()

    def look(self) -> None:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.defs.get_repository_def()
        )
        (sensor,) = failed_checks.alert_failed_checks().sensors or []
        result: Any = sensor(context, ticks_alerts=self.resource)
        self.cursor = result.cursor

    def run(self, error: BaseException | None = None) -> Any:
        """Run the job, then, where it failed, the sensor."""
        self.error = error
        result = self.job.execute_in_process(instance=self.instance, raise_on_error=False)
        return None if result.success else self.report(result.run_id)

    def report(self, run_id: str) -> Any:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        (record,) = self.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
        event = record.event_log_entry.dagster_event
        assert event is not None
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_failed_runs", dagster_event=event, dagster_instance=self.instance, dagster_run=run
        ).for_run_failure()
        (sensor,) = failed_runs.alert_failed_runs().sensors or []
        return sensor(context, ticks_alerts=self.resource)


@pytest.fixture
def rig(instance: dg.DagsterInstance, receiver: Receiver) -> Rig:
    return Rig(instance, receiver.url)


def test_off_by_default(load: Callable[[], dg.Definitions]) -> None:
    assert not failed_runs.alert_failed_runs().sensors
    assert not failed_checks.alert_failed_checks().sensors
    assert not posting.resources().resources
    names = {sensor.name for sensor in load().get_repository_def().sensor_defs}
    assert names == {"platform_supervisor", "repair_gaps", "report_newest", "true_up_days"}


def test_on_by_the_variable(load: Callable[[], dg.Definitions], receiver: Receiver) -> None:
    platform = load()
    dg.Definitions.validate_loadable(platform)
    repository = platform.get_repository_def()
    for name in ("alert_failed_runs", "alert_failed_checks"):
        sensor = repository.get_sensor_def(name)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert sensor.description
    assert receiver.url not in repr((platform.resources or {})["ticks_alerts"])


def test_a_check_is_posted_when_it_changes(rig: Rig, receiver: Receiver) -> None:
    rig.check(passed=True)
    assert receiver.texts == []
    for _ in range(3):
        rig.check(passed=False)
    assert receiver.texts == [":red_circle: check *table:is_right* fails (ERROR): 3 of 4 are broken"]
    rig.check(passed=True)
    rig.check(passed=True)
    assert len(receiver.texts) == 2
    assert "*table:is_right* passes again" in receiver.texts[1]


def test_a_warning_that_gets_worse_is_posted(rig: Rig, receiver: Receiver) -> None:
    rig.severity = dg.AssetCheckSeverity.WARN
    rig.check(passed=False)
    rig.severity = dg.AssetCheckSeverity.ERROR
    rig.check(passed=False)
    assert ["WARN" in text for text in receiver.texts] == [True, False]


def test_what_could_not_be_posted_is_posted_later(rig: Rig, receiver: Receiver) -> None:
    receiver.answers = [404]
    with pytest.raises(WebhookError):
        rig.check(passed=False)
    rig.look()
    rig.look()
    assert len(receiver.texts) == 1


def test_a_failed_run_is_posted(rig: Rig, receiver: Receiver) -> None:
    rig.run(ValueError("no such symbol"))
    (text,) = receiver.texts
    assert "*job* failed" in text
    assert "no such symbol" in text


def test_messages_are_one_short_line_without_mentions(rig: Rig, receiver: Receiver) -> None:
    rig.run(ValueError("<!channel> look\nhere" + "x" * 5000))
    (text,) = receiver.texts
    assert "&lt;!channel&gt; look here" in text
    assert len(text) < 1000
    assert len(text.splitlines()) == 2


def test_one_that_goes_on_failing_is_posted_once(rig: Rig, receiver: Receiver) -> None:
    for _ in range(3):
        rig.run(ValueError("broken"))
    assert len(receiver.texts) == 1
    rig.run()
    rig.run(ValueError("broken"))
    assert len(receiver.texts) == 2


def test_ctrl_c_is_no_failure(rig: Rig, receiver: Receiver) -> None:
    """Dagster writes the run off as a failure; see the message of its own that this goes by."""
    result = rig.run(KeyboardInterrupt())
    assert isinstance(result, dg.SkipReason)
    assert "interrupted" in (result.skip_message or "")
    assert receiver.texts == []
    rig.run(ValueError("broken"))
    assert len(receiver.texts) == 1


def test_a_run_in_which_nothing_but_a_check_failed_is_left_to_the_check(rig: Rig, receiver: Receiver) -> None:
    @dg.asset_check(asset="table", blocking=True)
    def blocks() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    defs = dg.Definitions(assets=rig.defs.assets, asset_checks=[blocks], executor=dg.in_process_executor)
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=rig.instance, raise_on_error=False)
    assert not result.success
    assert isinstance(rig.report(result.run_id), dg.SkipReason)
    assert receiver.texts == []
