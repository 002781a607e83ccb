"""Splits and dividends, followed once a day. The views of adjusted candles read them; ticks are never adjusted."""

import time

import dagster as dg

from ticks_platform.defs.common.bring_up import scheduled_job
from ticks_platform.defs.common.examples import examples
from ticks_platform.defs.common.labels import KINDS, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.reference import actions
from ticks_platform.ingestion.reference.actions import Report
from ticks_platform.timescale import sql_files

RUN_SECONDS = 1500.0
"""How long a run asks the providers; the next one continues."""

SHOWN = 10
"""Problems of a feed that the UI shows."""

NEWEST = 20
"""Actions that the UI shows."""


def _ask(
    context: dg.AssetExecutionContext,
    ticks_database: DatabaseResource,
    ticks_ingestion: IngestionResource,
    feed: FeedSettings,
    seconds: float,
) -> Report:
    """Ask one feed's provider. What it refuses is a problem in the report: nothing else waits for splits."""
    try:
        api = ticks_ingestion.corporate_actions(feed)
    except SettingsError as error:
        return Report(problems=(str(error),))
    if api is None:
        return Report()
    follower = actions.Follower(feed=feed, api=api, database=ticks_database.database, owner=context.run.run_id)
    report = follower.run(seconds=seconds)
    for problem in report.problems:
        context.log.warning(f"feed '{feed.name}': {problem}")
    return report


@dg.definitions
def corporate_actions() -> dg.Definitions:
    """The asset `corporate_actions`, which asks the provider of each primary feed."""
    # A symbol's actions come from the provider whose ticks make its candles.
    feeds = [feed for feed in feed_settings().feeds if feed.candles]

    @dg.asset(
        name="corporate_actions",
        deps=["stocks_real_time"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/corporate_action.sql"),
        description=(
            "Splits and dividends, from the providers' REST APIs, in the table corporate_action: a row per version, "
            "with the time at which it was known, so that a changed or withdrawn action keeps what was said before. "
            "The views one_day_candle_adjusted and session_day_candle_adjusted read them. A provider that cannot be "
            "reached, or a plan without them, is told here and changes nothing."
        ),
    )
    def asset(
        context: dg.AssetExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> dg.MaterializeResult[None]:
        ends_at = time.monotonic() + RUN_SECONDS
        with ticks_database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.CORPORATE_ACTIONS)
        rows = []
        for feed in feeds:
            report = _ask(context, ticks_database, ticks_ingestion, feed, ends_at - time.monotonic())
            with ticks_database.transaction() as cursor:
                computed = actions.compute_price_factors(cursor, list(feed.asked_symbols()))
            more = len(report.problems) - SHOWN
            rows.append(
                {
                    "feed": feed.name,
                    "requests": report.requests,
                    "symbols told": report.symbols,
                    "symbols left": report.left,
                    "new versions": report.added,
                    "changed": report.changed,
                    "withdrawn": report.gone,
                    "factors computed": computed,
                    "problems": "; ".join(report.problems[:SHOWN]) + (f"; and {more} more" if more > 0 else ""),
                }
            )
        with ticks_database.transaction() as cursor:
            metadata = table_metadata(cursor, "corporate_action")
            counts = actions.counts(cursor)
            newest = actions.newest(cursor, NEWEST)
        return dg.MaterializeResult(
            metadata={
                **metadata,
                "dagster/row_count": counts.versions,
                "splits": counts.splits,
                "dividends": counts.dividends,
                **examples(rows, "feeds"),
                **examples(newest, "newest"),
            }
        )

    return dg.Definitions(assets=[asset])


@dg.definitions
def follow_corporate_actions() -> dg.Definitions:
    """The job `follow_corporate_actions` and its schedule."""
    return scheduled_job(
        "follow_corporate_actions",
        "10 */4 * * *",
        dg.AssetSelection.assets("corporate_actions"),
        description="Asks the providers for splits and dividends of the symbols that were not asked for today.",
        schedule_description=(
            "Every four hours, asks for splits and dividends of the symbols that were not asked for in the last 20: "
            "once a day, and the rest of what the provider's limits left."
        ),
    )
