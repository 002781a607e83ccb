"""Running the policies where the database does not run them itself."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.defs.common.bring_up import POLICY_ASSETS, unreachable
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import MAX_RUNTIME, REFRESH_POOL
from ticks_platform.defs.common.pools import place
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.common.runs import FINISHED, LATEST, reason_to_wait
from ticks_platform.defs.policies.policies import ONLY_RUN
from ticks_platform.defs.policies.without_a_run import Refreshed, refresh
from ticks_platform.monitoring import database, troubles
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import Job
from ticks_platform.timescale.policies.settings import POLICIES, Kind, Policy

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

NAME = "refresh_candles"
EVERY_MINUTE = timedelta(minutes=1)

SECONDS = 40.0
"""For the refreshes of one evaluation: Dagster gives it 60. What takes longer has a run."""

WAIT_SECONDS = 15.0
"""Of them, for runs that refresh candles."""

WAITED = "candles are being refreshed by a run"
UNFINISHED = f"not done after {SECONDS:.0f} s"


@dg.definitions
def refresh_candles() -> dg.Definitions:
    """The job `refresh_candles` and its schedule."""
    job = dg.define_asset_job(
        NAME,
        selection=POLICY_ASSETS,
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description=(
            "Runs the policies; for databases without a scheduler of their own. Launched by its schedule, where a "
            "refresh without a run will not do."
        ),
    )

    @dg.schedule(
        name=NAME,
        job=job,
        cron_schedule="* * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Runs each policy at its own interval where the database has no scheduler of its own, such as the embedded "
            "database. Refreshes have no run each, since they come every minute; one that fails is repeated in a run, "
            f"which shows the error, and so is one that takes longer than {SECONDS:.0f} s. Where the database has a "
            f"scheduler, runs only those whose job failed there {troubles.FAILURES} times in a row or more."
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
            refreshed = _refresh(context, ticks_database, refreshes)
        except UNREACHABLE as error:
            return unreachable(error)
        return _answer(context, due, refreshed)

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


def _refresh(
    context: dg.ScheduleEvaluationContext, ticks_database: DatabaseResource, due: Mapping[Policy, Sequence[Job]]
) -> Refreshed:
    """Run refreshes here and now, unless candles are being refreshed. Raises UNREACHABLE when the database is away."""
    if not due:
        return Refreshed([], {}, [])
    began = time.monotonic()
    # The schedule of another code location, on another database, is evaluated beside this one.
    owner = f"{NAME} without a run: {ticks_database.database.description}"
    with place(context.instance, REFRESH_POOL, owner, wait_seconds=WAIT_SECONDS) as is_held:
        if not is_held:
            return Refreshed([], {}, list(due), waited=True)
        return refresh(ticks_database, due, seconds=SECONDS - (time.monotonic() - began))


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
    context: dg.ScheduleEvaluationContext, due: Mapping[Policy, Sequence[Job]], refreshed: Refreshed
) -> dg.RunRequest | dg.SkipReason:
    """A run for what is rare and may take long, and for what has failed: the runs page and alerts show runs."""
    for policy, message in refreshed.failed.items():
        context.log.error(f"{policy.name} failed: {message}")
    in_a_run = [policy for policy in due if policy.kind is not Kind.REFRESH]
    # Their pages, and who was told, would go on saying that they fail.
    in_a_run += [policy for policy in _failed_in_their_last_run(context.instance, due) if policy in refreshed.done]
    # The others that were left are due again at the next evaluation, unless they take too long for any.
    unfinished = [policy for policy in refreshed.left if _comes_seldom(due[policy]) or not refreshed.waited]
    why = [f"{policy.name} failed: {message}" for policy, message in refreshed.failed.items()]
    if refreshed.left:
        names = ", ".join(policy.name for policy in refreshed.left)
        why.append(f"{names}: {WAITED if refreshed.waited else UNFINISHED}")
    if refreshed.failed or unfinished:
        wait = reason_to_wait(context.instance, NAME, {ONLY_RUN: "true"}, busy="a run repeats it")
        if wait is None:
            in_a_run += [*refreshed.failed, *unfinished]
        else:
            why.append(f"({wait})")
    if in_a_run:
        keys = [dg.AssetKey(policy.name) for policy in in_a_run]
        return dg.RunRequest(asset_selection=keys, tags={ONLY_RUN: "true"})
    if why:
        return dg.SkipReason("; ".join(why))
    if not due:
        return dg.SkipReason("no policy is due")
    return dg.SkipReason(f"ran without a run: {', '.join(policy.name for policy in due)}")


def _comes_seldom(jobs: Sequence[Job]) -> bool:
    return all(job.schedule_interval > EVERY_MINUTE for job in jobs)
