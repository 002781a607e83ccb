"""The job that fetches days of a feed's history that a user names."""

from datetime import timedelta
from typing import Any

import dagster as dg

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import FOR_OPERATORS, MAX_RUNTIME, REFRESH_POOL
from ticks_platform.defs.common.partitions import day_fields, midnight, selected_days
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.defs.gaps import repair as gap_repair
from ticks_platform.feeds.primary import names_of
from ticks_platform.feeds.settings import SettingsError
from ticks_platform.ingestion.repair import repair
from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.timescale import server_clock


@dg.op(
    out=dg.Out(dg.Nothing),
    config_schema={"feed": str, **day_fields()},
    description="Requests the days of the feed from the provider's history, and loads the answers.",
)
def fetch_days(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """What a run does not finish, gap_repair continues."""
    days = [midnight(day) for day in selected_days(context.op_config)]
    try:
        feed = ticks_ingestion.settings(context.op_config["feed"]).feeds[0]
    except SettingsError as error:
        raise dg.Failure(str(error)) from error
    history = gap_repair.history_of(ticks_ingestion, feed)
    if history is None:
        raise dg.Failure(f"feed '{feed.name}': {gap_repair.no_history(feed)}")
    with ticks_database.transaction() as cursor:
        first, last = repair.whole_minutes(feed, history, now=server_clock.now(cursor))
    # Those that stand for many are in no history.
    listed = names_of(feed).single
    symbols = [symbol for symbol in feed.asked_symbols() if symbol in listed]
    spans = [(max(day, first), min(day + timedelta(days=1), last)) for day in days]
    intervals = [SymbolInterval(symbol, *span) for span in spans if span[0] < span[1] for symbol in symbols]
    gap_repair.fetch(context, ticks_database, feed, history, intervals)


@dg.op(
    pool=REFRESH_POOL,
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    config_schema={"feed": str},
    description="Refreshes the candles of the fetched days, compares them with their ticks, and closes their gaps.",
)
def settle_days(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """As after a repair."""
    gap_repair.settle(context, ticks_database, ticks_ingestion, context.op_config["feed"])


@dg.definitions
def fetch_history() -> dg.Definitions:
    """The job `fetch_history`."""

    feeds = ", ".join(feed.name for feed in feed_settings().feeds)

    @dg.config_mapping(config_schema={"feed": dg.Field(str, description=f"One of: {feeds}."), **day_fields()})
    def config(asked: Any) -> dict[str, Any]:
        feed = asked["feed"]
        return {"ops": {"fetch_days": {"config": dict(asked)}, "settle_days": {"config": {"feed": feed}}}}

    @dg.job(
        name="fetch_history",
        config=config,
        executor_def=one_process,
        tags={**FOR_OPERATORS, **MAX_RUNTIME},
        description=(
            "Fetches days, UTC, of a feed's history, for all of its symbols: as gaps are, within the same budget, and "
            "nothing that was fetched before. What one run does not finish, the asset gap_repair continues."
        ),
    )
    def job() -> None:
        settle_days(start=fetch_days())

    return dg.Definitions(jobs=[job])
