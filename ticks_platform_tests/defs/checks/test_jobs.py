"""The jobs that run the checks: which checks, and when."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform.defs.checks import jobs


def test_checks_run_every_five_minutes(platform: dg.Definitions) -> None:
    schedule = platform.resolve_schedule_def("check_quality")
    assert (schedule.cron_schedule, schedule.job_name) == ("*/4 * * * *", "check_quality")


def test_the_whole_table_is_read_once_a_day_and_not_every_five_minutes(platform: dg.Definitions) -> None:
    schedule = platform.resolve_schedule_def("check_every_tick")
    assert (schedule.cron_schedule, schedule.job_name) == ("40 4 * * *", "check_every_tick")
    checked = {
        name: {key.name for key in platform.resolve_job_def(name).asset_layer.asset_graph.asset_check_keys}
        for name in ("check_quality", "check_every_tick")
    }
    assert checked["check_every_tick"] == {
        "every_tick_is_there",
        "conditions_are_known",
        "rows_by_hand_are_no_copies",
    }
    everything = {key.name for key in platform.get_repository_def().asset_graph.asset_check_keys}
    assert checked["check_quality"] == everything - checked["check_every_tick"]


def test_checks_run_right_after_the_report_of_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their results are for the latest materialization then, and not grey until the next ones."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def wait_at(when: datetime) -> float:
            """Wait as an evaluation of the schedule does that is due then. Returns the time after it."""
            with dg.build_schedule_context(instance=instance, scheduled_execution_time=when) as context:
                jobs.await_report(context)
            return time.time()

        def report() -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization("one_minute_candle"))

        now = datetime.now(timezone.utc)
        assert wait_at(now) < now.timestamp() + 5, "nothing was ever reported, and nothing is waited for"
        report()
        timer = threading.Timer(0.6, report)
        due = datetime.now(timezone.utc) + timedelta(seconds=0.3)
        timer.start()
        after = wait_at(due)
        timer.join()
        newest = instance.get_latest_materialization_event(dg.AssetKey("one_minute_candle"))
        assert newest is not None
        assert due.timestamp() < newest.timestamp <= after
        monkeypatch.setattr(jobs, "REPORT_SECONDS", 0.2)
        # Where nothing new is reported, the checks run all the same.
        wait_at(datetime.now(timezone.utc) + timedelta(minutes=1))
