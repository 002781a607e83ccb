"""Late ticks: refreshing the candles whose ticks came too late for the windows of the refresh policies."""

from collections.abc import Sequence

import dagster as dg

from ticks_platform.defs.common.bring_up import reason_to_skip, unreachable
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import MAX_RUNTIME, REFRESH_POOL
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.candles.late_ticks import Bucket, Late

SHOWN = 200
"""Rows of a table in the UI."""


def _metadata(late: Late) -> dict[str, dg.MetadataValue]:
    def table(buckets: Sequence[Bucket]) -> dg.TableMetadataValue:
        return dg.MetadataValue.table(
            [
                dg.TableRecord({"begin": f"{bucket.begin:%Y-%m-%d %H:%M}Z", "ticks": bucket.loaded})
                for bucket in buckets[-SHOWN:]
            ],
            schema=dg.TableSchema([dg.TableColumn("begin"), dg.TableColumn("ticks", "int")]),
        )

    return {
        "hours refreshed": dg.MetadataValue.int(len(late.hours)),
        "days refreshed": dg.MetadataValue.int(len(late.days)),
        **({"hours": table(late.hours)} if late.hours else {}),
        **({"days": table(late.days)} if late.days else {}),
    }


# An op and not an asset: what it changes are the three candle assets, and it tells each of them what it did.
@dg.op(
    pool=REFRESH_POOL,
    out=dg.Out(dg.Nothing),
    description=(
        "Refreshes the hours whose ticks came too late for the refresh policies, and their days: minutes, hours, days."
    ),
)
def refresh_late_candles(context: dg.OpExecutionContext, ticks_database: DatabaseResource) -> None:
    """Refresh what late ticks have changed, and show which hours those were."""
    with ticks_database.autocommit() as cursor:
        late = late_ticks.refresh(cursor)
    metadata = _metadata(late)
    context.add_output_metadata(metadata)
    touched = [ONE_MINUTE, ONE_HOUR] if late.hours else []
    for candle in [*touched, *([ONE_DAY] if late.days else [])]:
        context.log_event(dg.AssetObservation(asset_key=candle.name, metadata=metadata))


@dg.definitions
def catch_up() -> dg.Definitions:
    """The job `catch_up` and its schedule."""

    @dg.job(
        name="catch_up",
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description=(
            "Refreshes exactly those closed hours and days whose ticks came too late for the windows of the refresh "
            "policies, however old they are, as after an outage of the database; and says which. Launched by "
            "its schedule."
        ),
    )
    def job() -> None:
        refresh_late_candles()

    @dg.schedule(
        name="catch_up",
        job=job,
        cron_schedule="*/5 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Every five minutes, refreshes the candles of ticks that came too late for the windows of the refresh "
            "policies. Skips where there are none."
        ),
    )
    def schedule(ticks_database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
        skip = reason_to_skip(ticks_database)
        if skip is not None:
            return skip
        try:
            with ticks_database.transaction() as cursor:
                late = late_ticks.find(cursor)
        except UNREACHABLE as error:
            return unreachable(error)
        if not late.hours and not late.days:
            return dg.SkipReason("no tick came too late for the refresh policies")
        return dg.RunRequest()

    return dg.Definitions(jobs=[job], schedules=[schedule])
