"""Running the policies where the database does not run them itself."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.common.bring_up import POLICY_ASSETS, unreachable
from ticks_platform.defs.common.labels import MAX_RUNTIME
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.policies.policies import ONLY_RUN
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.settings import POLICIES

EVERY_MINUTE = timedelta(minutes=1)


@dg.definitions
def refresh_candles() -> dg.Definitions:
    """The job `refresh_candles` and its schedule."""
    job = dg.define_asset_job(
        "refresh_candles",
        selection=POLICY_ASSETS,
        executor_def=dg.in_process_executor,
        tags=MAX_RUNTIME,
        description="Runs the policies; for databases without a scheduler of their own.",
    )

    @dg.schedule(
        name="refresh_candles",
        job=job,
        cron_schedule="* * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Runs each policy at its own interval where the database has no scheduler of its own, such as the embedded "
            "database. Skips where it has one."
        ),
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, ticks_database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        try:
            with ticks_database.transaction() as cursor:
                if policies.scheduler_is_running(cursor):
                    return dg.SkipReason("the database runs its policies itself")
                found = {policy.name: policy_jobs.find(cursor, policy) for policy in POLICIES}
        except UNREACHABLE as error:
            return unreachable(error)
        due = [
            dg.AssetKey(name)
            for name, jobs in found.items()
            if any(policies.is_due(job.schedule_interval, at, at - EVERY_MINUTE) for job in jobs)
        ]
        if not due:
            return dg.SkipReason("no policy is due")
        return dg.RunRequest(asset_selection=due, tags={ONLY_RUN: "true"})

    return dg.Definitions(jobs=[job], schedules=[schedule])
