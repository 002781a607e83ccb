"""Schedules: the policies where the database does not run them, and the checks."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs import assets, catching_up, checks, gaps, market_calendar
from ticks_platform.defs.policies import ONLY_RUN
from ticks_platform.defs.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.sensors import OBJECTS
from ticks_platform.timescale import tables
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.settings import POLICIES

EVERY_MINUTE = timedelta(minutes=1)


@dg.schedule(
    name="refresh_candles",
    job=assets.refresh_candles,
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Runs the policies, each at its own interval, where the database has no scheduler of its own, "
        "as the embedded one has not. Skips where it has."
    ),
)
def refresh_candles(context: dg.ScheduleEvaluationContext, database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    at = context.scheduled_execution_time
    try:
        with database.transaction() as cursor:
            if policies.scheduler_is_running(cursor):
                return dg.SkipReason("the database runs its policies itself")
            found = {policy.name: policy_jobs.find(cursor, policy) for policy in POLICIES}
    except UNREACHABLE as error:
        return dg.SkipReason(f"the database cannot be reached: {str(error).strip()}")
    due = [
        dg.AssetKey(name)
        for name, jobs in found.items()
        if any(policies.is_due(job.schedule_interval, at, at - EVERY_MINUTE) for job in jobs)
    ]
    if not due:
        return dg.SkipReason("no policy is due")
    return dg.RunRequest(asset_selection=due, tags={ONLY_RUN: "true"})


@dg.schedule(
    name="catch_up",
    job=catching_up.catch_up,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Every five minutes, refreshes the candles of ticks that came too late for the refresh policies' windows. "
        "Skips where there are none."
    ),
)
def catch_up(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    answer = _once_brought_up(database)
    if isinstance(answer, dg.SkipReason):
        return answer
    try:
        with database.transaction() as cursor:
            late = late_ticks.find(cursor)
    except UNREACHABLE as error:
        return dg.SkipReason(f"the database cannot be reached: {str(error).strip()}")
    if not late.hours and not late.days:
        return dg.SkipReason("no tick came too late for the refresh policies")
    return dg.RunRequest()


@dg.schedule(
    name="check_quality",
    job=checks.check_quality,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Runs every asset check every five minutes, once there is something to check; all but every_tick_is_there."
    ),
)
def check_quality(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    return _once_brought_up(database)


@dg.schedule(
    name="check_every_tick",
    job=checks.check_every_tick,
    cron_schedule="40 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, runs the check every_tick_is_there, which reads the whole table of ticks.",
)
def check_every_tick(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    return _once_brought_up(database)


@dg.schedule(
    name="keep_market_calendar",
    job=market_calendar.keep_market_calendar,
    cron_schedule="20 0 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, takes the exchanges' calendars in the database one day further.",
)
def keep_market_calendar(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    return _once_brought_up(database)


@dg.schedule(
    name="keep_gaps",
    job=gaps.keep_gaps,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every quarter of an hour, brings the table of gaps up to date and draws it.",
)
def keep_gaps(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    return _once_brought_up(database)


def _once_brought_up(database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
    try:
        with database.transaction() as cursor:
            missing = tables.missing(cursor, OBJECTS)
    except UNREACHABLE as error:
        return dg.SkipReason(f"the database cannot be reached: {str(error).strip()}")
    if missing:
        return dg.SkipReason(f"missing in the database as yet: {', '.join(missing)}")
    return dg.RunRequest()
