"""Bringing candles up to their ticks where refresh policies do not reach: late ticks, and days that a user selects."""

from collections.abc import Sequence

import dagster as dg

from ticks_platform.defs.assets import KINDS, MAX_RUNTIME, OWNERS, REFRESH_POOL, definition_metadata
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.candles.late_ticks import Bucket, Late

FIRST_DAY = "2015-01-01"
"""The oldest day that can be selected for a backfill."""

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
def refresh_late_candles(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Refresh what late ticks have changed, and show which hours those were."""
    with database.autocommit() as cursor:
        late = late_ticks.refresh(cursor)
    metadata = _metadata(late)
    context.add_output_metadata(metadata)
    touched = [ONE_MINUTE, ONE_HOUR] if late.hours else []
    for candle in [*touched, *([ONE_DAY] if late.days else [])]:
        context.log_event(dg.AssetObservation(asset_key=candle.name, metadata=metadata))


@dg.job(
    name="catch_up",
    tags=MAX_RUNTIME,
    description=(
        "Refreshes exactly those closed hours and days whose ticks came too late for the windows of the refresh "
        "policies, however old they are, as after an outage of the database; and says which."
    ),
)
def catch_up() -> None:
    """The job `catch_up`."""
    refresh_late_candles()


def candle_refresh() -> dg.AssetsDefinition:
    """The asset `candle_refresh`, whose partitions are days."""

    @dg.asset(
        deps=[ONE_DAY.name],
        group_name="candles",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        partitions_def=dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1),
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata=definition_metadata("schema/candle_refresh.sql"),
        description=(
            "The candles of the days that are selected, UTC, in every level: whatever changed in them is refreshed, as "
            "far as the ticks are still there. Nothing has to be done here in everyday life: policies and catch_up "
            "refresh by themselves. It is for history that was written past the loader, and for whoever wants to be "
            "sure of some days."
        ),
    )
    def candle_refresh(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult[None]:
        begin, end = context.partition_time_window
        with database.autocommit() as cursor:
            counted = late_ticks.refresh_days(cursor, begin, end)
        return dg.MaterializeResult(
            metadata={
                "from": str(begin),
                "to": str(end),
                "days": (end - begin).days,
                **{f"{name} candles": number for name, number in counted.items()},
            }
        )

    return candle_refresh
