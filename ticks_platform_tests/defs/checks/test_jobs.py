"""The jobs that run the checks: which checks, and when."""

from __future__ import annotations

import dagster as dg


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
