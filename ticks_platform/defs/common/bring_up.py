"""The job `bring_up`, which creates what is missing in the database, and what has to wait for it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import MAX_RUNTIME, READER_TAG
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.timescale import sql_files, tables
from ticks_platform.timescale.candles import definitions
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.policies.settings import POLICIES

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

OBJECTS = (
    "stocks_real_time",
    "ticks_platform.manual_tick",
    "stock_quotes",
    "stock_aggregates",
    "official_price",
    "tick_correction",
    "trading_halt",
    "corporate_action",
    "company",
    "instrument",
    "round_lot",
    *(candle.name for candle in CANDLES),
    *(view.name for candle in CANDLES for view in candle.views),
    *(f"ticks_platform.{Path(file).stem}" for file in sql_files.MACHINERY[1:]),
)
"""Tables, views and a sequence; while one is missing, `bring_up` is launched. The first file of the machinery is its
schema."""

# By name: other assets of a project that merges our definitions with its own are not ours to materialize.
POLICY_ASSETS = dg.AssetSelection.assets(*(policy.name for policy in POLICIES)) | dg.AssetSelection.tag(*READER_TAG)
"""The assets of the policies, and the grants of the reader where there is one."""

BROUGHT_UP = POLICY_ASSETS | dg.AssetSelection.assets(
    "stocks_real_time",
    "stock_quotes",
    "stock_aggregates",
    "company",
    "market_calendar",
    "instrument",
    *(candle.name for candle in CANDLES),
    "feed_gaps",
)
"""The assets that make what is in the database; the others are materialized by users and sensors."""

bring_up = dg.define_asset_job(
    "bring_up",
    selection=BROUGHT_UP.without_checks(),
    executor_def=one_process,
    tags=MAX_RUNTIME,
    description=(
        "Creates whatever is missing in the database: hypertable, candles, policies. Changes nothing else. Launched by "
        "the sensor platform_supervisor."
    ),
)


def missing_objects(cursor: "Cursor") -> list[str]:
    """What `bring_up` has to create. A new view of a candle of an older release waits for the job rebuild_candle."""
    missing = tables.missing(cursor, OBJECTS)
    waiting = set()
    for candle in CANDLES:
        views = {view.name for view in candle.views}
        if (
            not views.isdisjoint(missing)
            and candle.name not in missing
            and definitions.drift(cursor, candle) is not None
        ):
            waiting |= views
    return [name for name in missing if name not in waiting]


def reason_to_skip(ticks_database: DatabaseResource) -> dg.SkipReason | None:
    """Why a schedule cannot do anything yet; None when it can."""
    try:
        with ticks_database.transaction() as cursor:
            missing = missing_objects(cursor)
    except UNREACHABLE as error:
        return unreachable(error)
    return dg.SkipReason(f"not created yet: {', '.join(missing)}") if missing else None


def unreachable(error: Exception) -> dg.SkipReason:
    """A database that is away is a reason for a schedule or a sensor to skip, not to fail."""
    return dg.SkipReason(f"the database cannot be reached: {str(error).strip()}")


def scheduled_job(
    name: str,
    cron: str,
    selection: dg.AssetSelection,
    *,
    description: str,
    schedule_description: str,
    first: Callable[[dg.ScheduleEvaluationContext], None] | None = None,
) -> dg.Definitions:
    """A job on assets or checks, and a schedule of its name that launches it once `bring_up` has created everything.

    `first` is called before a launch.
    """
    job = dg.define_asset_job(
        name,
        selection=selection,
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description=f"{description} Launched by its schedule.",
    )

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=schedule_description,
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, ticks_database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        reason = reason_to_skip(ticks_database)
        if reason is None and first is not None:
            first(context)
        return reason or dg.RunRequest()

    return dg.Definitions(jobs=[job], schedules=[schedule])
