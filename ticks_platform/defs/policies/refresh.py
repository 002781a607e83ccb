"""Running the policies where the database does not run them itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import psycopg2

from ticks_platform.defs.common.bring_up import POLICY_ASSETS, unreachable
from ticks_platform.defs.common.labels import MAX_RUNTIME
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.common.runs import FINISHED, LATEST, reason_to_wait
from ticks_platform.defs.policies.policies import ONLY_RUN
from ticks_platform.masking import mask
from ticks_platform.monitoring import database, troubles
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import Job
from ticks_platform.timescale.policies.settings import POLICIES, Kind, Policy

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

NAME = "refresh_candles"
EVERY_MINUTE = timedelta(minutes=1)


@dg.definitions
def refresh_candles() -> dg.Definitions:
    """The job `refresh_candles` and its schedule."""
    job = dg.define_asset_job(
        NAME,
        selection=POLICY_ASSETS,
        executor_def=dg.in_process_executor,
        tags=MAX_RUNTIME,
        description="Runs the policies; for databases without a scheduler of their own.",
    )

    @dg.schedule(
        name=NAME,
        job=job,
        cron_schedule="* * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Runs each policy at its own interval where the database has no scheduler of its own, such as the embedded "
            "database. Refreshes have no run each, since they come every minute; a refresh that fails is repeated in a "
            "run, which shows the error. Where the database has a scheduler, runs only those whose job failed there "
            f"{troubles.FAILURES} times in a row or more."
        ),
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, ticks_database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        try:
            with ticks_database.transaction() as cursor:
                found = _to_run(cursor)
                if found is None:
                    return dg.SkipReason("the database runs its policies itself")
            due = {policy: jobs for policy, jobs in found.items() if _is_due(jobs, at)}
            refreshes = {policy: jobs for policy, jobs in due.items() if policy.kind is Kind.REFRESH}
            failed = _run(ticks_database, refreshes)
        except UNREACHABLE as error:
            return unreachable(error)
        return _answer(context, due, failed)

    return dg.Definitions(jobs=[job], schedules=[schedule])


def _to_run(cursor: Cursor) -> dict[Policy, Sequence[Job]] | None:
    """The policies that are ours to run, with their jobs; None if the database runs all of them itself."""
    failing: set[int] | None = None
    if policies.scheduler_is_running(cursor):
        failing = {job.job_id for job in database.jobs(cursor) if troubles.keeps_failing(job)}
        if not failing:
            return None
    found: dict[Policy, Sequence[Job]] = {policy: policy_jobs.find(cursor, policy) for policy in POLICIES}
    if failing is None:
        return found
    return {policy: jobs for policy, jobs in found.items() if failing & {job.job_id for job in jobs}} or None


def _is_due(jobs: Sequence[Job], at: datetime) -> bool:
    return any(policies.is_due(job.schedule_interval, at, at - EVERY_MINUTE) for job in jobs)


def _run(ticks_database: DatabaseResource, due: Mapping[Policy, Sequence[Job]]) -> dict[Policy, str]:
    """Run policies here and now. Returns those that failed, each with its message.

    Raises UNREACHABLE when the database is away.
    """
    failed = {}
    for policy, jobs in due.items():
        try:
            with ticks_database.autocommit() as cursor:
                policies.run(cursor, jobs[0].job_id)
        except psycopg2.Error as error:
            # Without a code the connection was lost; 57P is a server that is being stopped or started.
            if (error.pgcode or "57P").startswith("57P"):
                raise
            failed[policy] = mask(str(error).strip())
    return failed


def _failed_in_their_last_run(instance: dg.DagsterInstance, due: Collection[Policy]) -> list[Policy]:
    """The refreshes among these policies whose last run failed."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=NAME, statuses=FINISHED, tags={ONLY_RUN: "true"}), limit=LATEST
    )
    last: dict[str, dg.DagsterRunStatus] = {}
    for record in records:
        for key in record.dagster_run.asset_selection or ():
            last.setdefault(key.to_user_string(), record.dagster_run.status)
    return [
        policy for policy in due if policy.kind is Kind.REFRESH and last.get(policy.name) is dg.DagsterRunStatus.FAILURE
    ]


def _answer(
    context: dg.ScheduleEvaluationContext, due: Mapping[Policy, Sequence[Job]], failed: Mapping[Policy, str]
) -> dg.RunRequest | dg.SkipReason:
    """A run for what is rare and may take long, and for what has failed: the runs page and alerts show runs."""
    for policy, message in failed.items():
        context.log.error(f"{policy.name} failed: {message}")
    in_a_run = [policy for policy in due if policy.kind is not Kind.REFRESH]
    # Their pages, and who was told, would go on saying that they fail.
    in_a_run += [policy for policy in _failed_in_their_last_run(context.instance, due) if policy not in failed]
    if failed:
        wait = reason_to_wait(context.instance, NAME, {ONLY_RUN: "true"}, busy="a run repeats it")
        if wait is None:
            in_a_run += failed
        elif not in_a_run:
            names = ", ".join(policy.name for policy in failed)
            return dg.SkipReason(f"{names} failed: {'; '.join(failed.values())} ({wait})")
    if in_a_run:
        keys = [dg.AssetKey(policy.name) for policy in in_a_run]
        return dg.RunRequest(asset_selection=keys, tags={ONLY_RUN: "true"})
    if not due:
        return dg.SkipReason("no policy is due")
    return dg.SkipReason(f"ran without a run: {', '.join(policy.name for policy in due)}")
