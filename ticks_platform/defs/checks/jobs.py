"""The jobs that run the checks, and their schedules."""

import time

import dagster as dg

from ticks_platform.defs.checks.table import CHECKS
from ticks_platform.defs.common.bring_up import scheduled_job
from ticks_platform.timescale.candles.candles import ONE_MINUTE

REPORT_SECONDS = 25.0
"""For which a run of check_quality waits for a report: the sensor report_newest looks every 15 s what is due."""

_LOOK_SECONDS = 0.5

DAILY = ", ".join(check.name for check in CHECKS if check.daily)
"""The checks that run once a day."""


def _checks(*, daily: bool) -> dg.AssetSelection:
    # By name: other checks of a project that merges our definitions with its own are not ours to run.
    keys = (
        dg.AssetCheckKey(dg.AssetKey(asset), check.name)
        for check in CHECKS
        for asset in check.assets
        if check.daily is daily
    )
    return dg.AssetSelection.checks(*keys)


@dg.definitions
def check_quality() -> dg.Definitions:
    """The job `check_quality` and its schedule."""
    return scheduled_job(
        "check_quality",
        "*/4 * * * *",
        _checks(daily=False),
        description="Runs every asset check but those of check_every_tick, which read much of the table of ticks.",
        schedule_description=(
            "Every four minutes, runs all asset checks but those of check_every_tick, once there is something to "
            "check, right after the reports of candles and ticks."
        ),
        first=await_report,
    )


def await_report(context: dg.ScheduleEvaluationContext) -> None:
    """Wait for the report that is due now: the page of an asset shows results for its latest report alone.

    Where there is nothing new, none comes.
    """
    due, deadline = context.scheduled_execution_time.timestamp(), time.monotonic() + REPORT_SECONDS
    while time.monotonic() < deadline:
        # The last one of those that come together.
        report = context.instance.get_latest_materialization_event(dg.AssetKey(ONE_MINUTE.name))
        if report is None or report.timestamp >= due:
            break
        time.sleep(_LOOK_SECONDS)


@dg.definitions
def check_every_tick() -> dg.Definitions:
    """The job `check_every_tick` and its schedule."""
    return scheduled_job(
        "check_every_tick",
        "40 4 * * *",
        _checks(daily=True),
        description=f"Runs the checks that read more than the newest ticks: {DAILY}.",
        schedule_description=f"Once a day, runs the checks that read more than the newest ticks: {DAILY}.",
    )
