"""The sensors that alert: what they post, what they keep to themselves, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ticks_platform.alerts import told, webhook
from ticks_platform.defs.alerts import failed_checks, failed_runs, posting, troubles
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform_tests.support.webhook_receiver import Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "PAUSES", ())
    # The looks of a test follow each other at once.
    monkeypatch.setattr(told, "PAUSE", 0.0)
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
        self.runs_cursor: str | None = None

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

    def run(self, error: BaseException | None = None) -> None:
        """Run the job, then the sensor."""
        self.error = error
        self.job.execute_in_process(instance=self.instance, raise_on_error=False)
        self.report()

    def report(self) -> str:
        """Run the sensor of failed runs; what it says."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.runs_cursor)
        (sensor,) = failed_runs.alert_failed_runs().sensors or []
        result: Any = sensor(context, ticks_alerts=self.resource)
        self.runs_cursor = result.cursor
        return str(result.skip_reason.skip_message)


@pytest.fixture
def rig(instance: dg.DagsterInstance, receiver: Receiver) -> Rig:
    made = Rig(instance, receiver.url)
    # Runs that end from its first look on are told.
    made.report()
    return made


def test_off_by_default(load: Callable[[], dg.Definitions]) -> None:
    assert not failed_runs.alert_failed_runs().sensors
    assert not failed_checks.alert_failed_checks().sensors
    assert not troubles.alert_troubles().sensors
    assert not posting.resources().resources
    names = {sensor.name for sensor in load().get_repository_def().sensor_defs}
    assert names == {"keep_daily_results", "platform_supervisor", "repair_gaps", "report_newest", "true_up_days"}


def test_on_by_the_variable(load: Callable[[], dg.Definitions], receiver: Receiver) -> None:
    platform = load()
    dg.Definitions.validate_loadable(platform)
    repository = platform.get_repository_def()
    for name in ("alert_failed_runs", "alert_failed_checks", "alert_troubles"):
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
    receiver.answers = [404, 404]
    rig.check(passed=False)
    rig.check(passed=True)
    assert receiver.texts == []
    rig.look()
    rig.look()
    (text,) = receiver.texts
    assert ["fails (ERROR)" in line for line in text.splitlines()] == [True, False]


def test_a_failed_run_that_could_not_be_posted_is_posted_later(rig: Rig, receiver: Receiver) -> None:
    receiver.answers = [404, 404, 404]
    rig.run(ValueError("no such symbol"))
    assert "404" in rig.report()
    assert "messages to be posted later: 1" in rig.report()
    assert receiver.texts == []
    rig.report()
    rig.report()
    (text,) = receiver.texts
    assert "no such symbol" in text


def test_a_run_that_was_marked_as_failed_from_outside_is_no_failed_check(rig: Rig, receiver: Receiver) -> None:
    """Its checks were not judged: those that failed before stay as they are, and none begins to fail."""
    rig.check(passed=False)
    for _ in range(2):
        run = rig.instance.create_run_for_job(rig.defs.resolve_implicit_global_asset_job_def())
        rig.instance.report_run_failed(run)
        rig.look()
        rig.report()
    rig.check(passed=True)
    assert [text.split(", ")[0].split(": ")[1].split(" (after")[0] for text in receiver.texts] == [
        "check *table:is_right* fails (ERROR)",
        "*__ASSET_JOB* failed",
        "check *table:is_right* passes again",
    ]
    assert "marked as failed from outside" in receiver.texts[1]


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
    assert [text.splitlines()[0].split(",")[0].split(" (")[0] for text in receiver.texts] == [
        ":red_circle: *job* failed",
        ":large_green_circle: *job* succeeds again",
        ":red_circle: *job* failed",
    ]


def test_ctrl_c_is_no_failure(rig: Rig, receiver: Receiver) -> None:
    """Dagster writes the run off as a failure; see the message of its own that this goes by."""
    rig.run(KeyboardInterrupt())
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
    rig.report()
    assert receiver.texts == []


def test_a_refused_feed_is_left_to_alert_troubles(rig: Rig, receiver: Receiver) -> None:
    failure = dg.Failure("feed 'stocks': refused")
    failure.__cause__ = FeedRefusedError("no such key")
    rig.run(failure)
    assert receiver.texts == []
