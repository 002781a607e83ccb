"""What is known of the instruments, which checks ask: may the price be negative, what is its smallest step."""

import dagster as dg

from ticks_platform.defs.common.bring_up import scheduled_job
from ticks_platform.defs.common.labels import KINDS, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.ingestion.reference import stored
from ticks_platform.timescale import sql_files


@dg.definitions
def instrument() -> dg.Definitions:
    """The asset `instrument`, filled from feeds.yaml, the providers' answers and what markets let expect."""
    feeds = feed_settings().feeds

    @dg.asset(
        name="instrument",
        deps=["stocks_real_time"],
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
    return scheduled_job(
        "keep_instruments",
        "40 0 * * *",
        dg.AssetSelection.assets("instrument"),
        description="Brings the table of instruments up to date with feeds.yaml and the providers' reference data.",
        schedule_description="Once a day, brings the table of instruments up to date.",
    )
