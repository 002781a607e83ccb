"""The job that refreshes the candles of days that a user names."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import FOR_OPERATORS, MAX_RUNTIME, REFRESH_POOL
from ticks_platform.defs.common.partitions import day_fields, midnight, selected_days
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale.candles import late_ticks


@dg.definitions
def refresh_days() -> dg.Definitions:
    """The job `refresh_days`."""

    @dg.op(
        name="refresh_days_op",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        config_schema=day_fields(),
        description="Refreshes what has changed in the days, in every level of the candles.",
    )
    def refresh(context: dg.OpExecutionContext, ticks_database: DatabaseResource) -> None:
        days = selected_days(context.op_config)
        begin, end = midnight(days[0]), midnight(days[-1]) + timedelta(days=1)
        with ticks_database.autocommit() as cursor:
            counted = late_ticks.refresh_days(cursor, begin, end)
        found = {"days": len(days), **{f"{name} candles": number for name, number in counted.items()}}
        context.add_output_metadata({"from": str(begin), "to": str(end), **found})
        context.log.info(f"{begin} to {end}: " + ", ".join(f"{number} {name}" for name, number in found.items()))

    @dg.job(
        name="refresh_days",
        executor_def=one_process,
        tags={**FOR_OPERATORS, **MAX_RUNTIME},
        description=(
            "Refreshes the candles of the days, UTC, in every level: whatever has changed, as far as the ticks are "
            "still there. Not needed in everyday use: policies and catch_up refresh by themselves. Meant for history "
            "that was written past the loader, and for whoever wants to be sure of some days."
        ),
    )
    def job() -> None:
        refresh()

    return dg.Definitions(jobs=[job])
