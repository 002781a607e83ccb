"""The job `purge_dagster_history` and its schedule."""

from collections.abc import Iterator

import dagster as dg

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import HOUSEKEEPING, MAX_RUNTIME
from ticks_platform.defs.common.project import policies_file
from ticks_platform.defs.dagster_history import events, runs
from ticks_platform.timescale.policies.settings import load_policies

NAME = "purge_dagster_history"


def purging(platform: dg.Definitions) -> dg.Definitions:
    """The job and its schedule, for the jobs and assets of these definitions.

    Not found by folder as all else is: what a project's own jobs and assets leave in the same storage is not ours to
    purge, so it has to know which are the platform's.
    """
    file = policies_file()
    jobs = {NAME, *(job.name for job in platform.jobs or ())}
    assets = set(_keys(platform))
    instigators = {each.name for each in (*(platform.schedules or ()), *(platform.sensors or ()))}

    @dg.op(
        name="purge_runs_and_reports",
        out=dg.Out(dg.Nothing),
        description="Deletes what policies.yaml does not keep, and the files of runs that are not known any more.",
    )
    def purge(context: dg.OpExecutionContext) -> None:
        keep = load_policies(file).dagster_history
        instance = context.instance
        origin = context.run.remote_job_origin
        location = origin.location_name if origin is not None else None
        surplus = runs.surplus(instance, keep, jobs=jobs, assets=assets, location=location)
        purged = runs.purge(instance, surplus)
        orphans = runs.delete_orphans(instance)
        rows = events.purge(instance, keep, assets=assets)
        events.purge_skipped_ticks(instance, names=instigators)
        freed = events.compact(instance)
        context.add_output_metadata(
            {
                "runs purged": purged,
                "runs whose files were left": orphans,
                "reports and check results purged": rows,
                "bytes freed in SQLite": freed,
            }
        )

    @dg.job(
        name=NAME,
        executor_def=one_process,
        tags={**MAX_RUNTIME, **HOUSEKEEPING},
        description=(
            "Purges Dagster's own history as dagster_history in policies.yaml says: finished runs with their logs and "
            "files, and older reports and check results. Ticks, candles and gaps are in the database and stay. "
            "Launched by its schedule."
        ),
    )
    def job() -> None:
        purge()

    @dg.schedule(
        name=NAME,
        job=job,
        cron_schedule="50 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once an hour, purges what Dagster's own history is not to keep.",
    )
    def schedule() -> dg.RunRequest:
        return dg.RunRequest()

    return dg.Definitions(jobs=[job], schedules=[schedule])


def _keys(platform: dg.Definitions) -> Iterator[dg.AssetKey]:
    for asset in platform.assets or ():
        if isinstance(asset, dg.AssetsDefinition):
            yield from asset.keys
        elif isinstance(asset, (dg.AssetSpec, dg.SourceAsset)):
            yield asset.key
