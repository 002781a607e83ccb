"""The job that adopts the tables of Timescale's tutorial."""

from typing import Literal

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND, REFRESH_POOL
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale.adoption.adopt import adopt
from ticks_platform.timescale.adoption.plan import plan
from ticks_platform.timescale.requirements import require_timescaledb


class AdoptConfig(dg.Config):
    """Whether to do it or only to say what would be done, and what becomes of candles."""

    dry_run: bool = Field(default=True, description="Only say what would be done.")
    candles: Literal["rebuild", "keep"] = Field(
        default="rebuild",
        description="What becomes of candles with names of ours: made of the ticks, or kept under another name.",
    )


@dg.definitions
def adopt_tables() -> dg.Definitions:
    """The job `adopt_tables`."""
    symbols = {symbol for feed in feed_settings().feeds for symbol in feed.asked_symbols()}

    @dg.op(
        name="adopt",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        description="Adopts tables that were there before the platform, in one transaction.",
    )
    def adopt_op(context: dg.OpExecutionContext, config: AdoptConfig, ticks_database: DatabaseResource) -> None:
        """Say what would be done, and unless it is a dry run, do it."""
        keep = config.candles == "keep"
        if config.dry_run:
            with ticks_database.transaction() as cursor:
                require_timescaledb(cursor)
                planned = plan(cursor, keep_candles=keep, symbols=symbols)
                cursor.connection.rollback()
        else:
            planned = adopt(ticks_database.database, keep_candles=keep, symbols=symbols, say=context.log.info)
        for line in planned.lines(done=not config.dry_run):
            context.log.info(line)
        context.add_output_metadata(
            {
                "dry run": config.dry_run,
                "steps": dg.MetadataValue.json(list(planned.steps)),
                "notes": dg.MetadataValue.json(list(planned.notes)),
                "to do before": dg.MetadataValue.json(list(planned.obstacles)),
            }
        )

    @dg.job(
        name="adopt_tables",
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Makes the tables of Timescale's tutorial the platform's, with all of their rows: stocks_real_time, "
            "company, and candles of these names. A dry run, unless dry_run is set to false in the launchpad, says "
            "what would be done. All of it happens in one transaction; stop what writes ticks meanwhile."
        ),
    )
    def job() -> None:
        adopt_op()

    return dg.Definitions(jobs=[job])
