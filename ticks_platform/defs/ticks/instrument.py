"""What is known of the instruments, which checks ask: may the price be negative, what is its tick size."""

import time
from datetime import timezone

import dagster as dg

from ticks_platform.defs.common.bring_up import reason_to_skip
from ticks_platform.defs.common.examples import examples
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import KINDS, MAX_RUNTIME, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.feeds.reference import Reference
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.reference import asking, stored
from ticks_platform.timescale import sql_files

RUN_SECONDS = 900.0
"""How long a run asks the providers; the next one continues."""

SHOWN = 10
"""Problems of a feed that the UI shows."""


def _reference(ticks_ingestion: IngestionResource, feed: FeedSettings) -> Reference | None:
    try:
        return ticks_ingestion.reference(feed)
    except SettingsError:  # such as no key
        return None


@dg.definitions
def instrument_reference() -> dg.Definitions:
    """The asset `instrument_reference`, which asks the providers."""
    feeds = feed_settings().feeds

    @dg.asset(
        name="instrument_reference",
        deps=["stocks_real_time"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/instrument_reference.sql"),
        description=(
            "What the providers' reference APIs say of the symbols of feeds.yaml, where there is a key: each is asked "
            "for once a week, within the limits that repairs of gaps share. A provider that cannot be reached, or a "
            "plan without it, is told here and changes nothing."
        ),
    )
    def asset(
        context: dg.AssetExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> dg.MaterializeResult[None]:
        ends_at = time.monotonic() + RUN_SECONDS
        with ticks_database.transaction() as cursor:
            sql_files.apply(cursor, "schema/ticks_platform.sql", "schema/instrument_reference.sql")
        rows = []
        for feed in feeds:
            reference = _reference(ticks_ingestion, feed)
            if reference is None:
                continue
            report = asking.Asking(
                feed=feed, reference=reference, database=ticks_database.database, owner=context.run.run_id
            ).run(seconds=ends_at - time.monotonic())
            for problem in report.problems:
                context.log.warning(f"feed '{feed.name}': {problem}")
            more = len(report.problems) - SHOWN
            rows.append(
                {
                    "feed": feed.name,
                    "requests": report.requests,
                    "symbols told": report.answered,
                    "symbols left": report.left,
                    "problems": "; ".join(report.problems[:SHOWN]) + (f"; and {more} more" if more > 0 else ""),
                }
            )
        return dg.MaterializeResult(metadata=examples(rows, "feeds"))

    return dg.Definitions(assets=[asset])


@dg.definitions
def instrument() -> dg.Definitions:
    """The asset `instrument`, filled from feeds.yaml, the providers' answers and what markets let expect."""
    feeds = feed_settings().feeds

    @dg.asset(
        name="instrument",
        deps=["stocks_real_time", "instrument_reference"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/instrument.sql"),
        description=(
            "What is known of each symbol's instrument: asset class, exchange, currency, tick size, whether its price "
            "may be negative, calendars; and its round lots, in the table round_lot. feeds.yaml wins over the "
            "provider's reference data, and both over what the market lets expect. Checks ask it."
        ),
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            sql_files.apply(cursor, "schema/instrument.sql", "schema/round_lot.sql")
            kept = stored.keep(cursor, feeds)
            metadata = table_metadata(cursor, "instrument")
            cursor.execute("SELECT count(*) FROM instrument")
            (rows,) = cursor.fetchone() or (0,)
        return dg.MaterializeResult(
            metadata={
                **metadata,
                "dagster/row_count": rows,
                "rows changed": kept.instruments,
                "round lots changed": kept.round_lots,
            }
        )

    return dg.Definitions(assets=[asset])


@dg.definitions
def keep_instruments() -> dg.Definitions:
    """The job and schedule `keep_instruments`."""
    feeds = feed_settings().feeds
    job = dg.define_asset_job(
        "keep_instruments",
        selection=dg.AssetSelection.assets("instrument_reference", "instrument"),
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description=(
            "Brings the table of instruments up to date with feeds.yaml and the providers' reference data. Launched by "
            "its schedule."
        ),
    )

    @dg.schedule(
        name="keep_instruments",
        job=job,
        cron_schedule="40 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Once a day, and in each hour in which a provider is to be asked for a symbol, brings the table of "
            "instruments up to date."
        ),
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> dg.RunRequest | dg.SkipReason:
        skip = reason_to_skip(ticks_database)
        if skip is not None:
            return skip
        if context.scheduled_execution_time.astimezone(timezone.utc).hour == 0:
            return dg.RunRequest()
        with ticks_database.transaction() as cursor:
            due = [feed for feed in feeds if asking.due(cursor, feed) and _reference(ticks_ingestion, feed)]
        return dg.RunRequest() if due else dg.SkipReason("no provider is to be asked for a symbol now")

    return dg.Definitions(jobs=[job], schedules=[schedule])
