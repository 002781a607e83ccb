"""Refreshing the candles of days that a user selects."""

import dagster as dg

from ticks_platform.defs.common.labels import KINDS, OWNERS, REFRESH_POOL, defined_in
from ticks_platform.defs.common.partitions import DAYS
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.candles.candles import ONE_DAY


@dg.definitions
def candle_refresh() -> dg.Definitions:
    """The asset `candle_refresh`, whose partitions are days."""

    @dg.asset(
        name="candle_refresh",
        deps=[ONE_DAY.name],
        group_name="candles",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata=defined_in("schema/candle_refresh.sql"),
        description=(
            "The candles of the selected days, UTC, in every level: whatever has changed is refreshed, as far as the "
            "ticks are still there. Not needed in everyday use: policies and catch_up refresh by themselves. Meant "
            "for history that was written past the loader, and for whoever wants to be sure of some days."
        ),
    )
    def asset(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        begin, end = context.partition_time_window
        with ticks_database.autocommit() as cursor:
            counted = late_ticks.refresh_days(cursor, begin, end)
        return dg.MaterializeResult(
            metadata={
                "from": str(begin),
                "to": str(end),
                "days": (end - begin).days,
                **{f"{name} candles": number for name, number in counted.items()},
            }
        )

    return dg.Definitions(assets=[asset])
