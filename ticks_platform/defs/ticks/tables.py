"""The hypertables of ticks, quotes and bars. Materializing one makes the database agree with its SQL file."""

import dagster as dg

from ticks_platform.defs.common.first_reports import report_first
from ticks_platform.defs.common.labels import KINDS, LIVE, OWNERS, defined_in, live_page
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.adoption.relations import require_own_tables


@dg.definitions
def stocks_real_time() -> dg.Definitions:
    """The asset `stocks_real_time`, the hypertable of ticks."""
    description, link = live_page(
        "The ticks: one row per price event, in a TimescaleDB hypertable with chunks of one day. Materializing it "
        "creates the table and the machinery of ingestion where they are missing; ingestion runs report here what "
        "they load."
    )

    @dg.asset(
        name="stocks_real_time",
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata={**defined_in("schema/stocks_real_time.sql"), **link},
        description=description,
    )
    def asset(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        # Two transactions: the machinery waits for the leases of loaders, which wait for the locks of the tables.
        with ticks_database.transaction() as cursor:
            require_own_tables(cursor)
            sql_files.apply(cursor, *sql_files.HYPERTABLE)
        with ticks_database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.MACHINERY)
        with ticks_database.transaction() as cursor:
            metadata = table_metadata(cursor, "stocks_real_time")
        # Before `instrument`, which is made of it, and would be shown as not in sync.
        report_first(context.instance, "instrument_reference")
        return dg.MaterializeResult(
            data_version=LIVE,
            metadata={**metadata, "database": ticks_database.database.description},
        )

    return dg.Definitions(assets=[asset])


def _table(name: str, file: str, *, description: str) -> dg.Definitions:
    @dg.asset(
        name=name,
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in(file),
        description=description,
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            require_own_tables(cursor)
            sql_files.apply(cursor, file)
            metadata = table_metadata(cursor, name)
        return dg.MaterializeResult(data_version=LIVE, metadata=metadata)

    return dg.Definitions(assets=[asset])


@dg.definitions
def stock_quotes() -> dg.Definitions:
    """The asset `stock_quotes`."""
    return _table(
        "stock_quotes",
        "schema/stock_quotes.sql",
        description="Best bids and offers, one row per quote, where a feed streams them.",
    )


@dg.definitions
def stock_aggregates() -> dg.Definitions:
    """The asset `stock_aggregates`."""
    return _table(
        "stock_aggregates",
        "schema/stock_aggregates.sql",
        description=(
            "Bars: aggregates as the provider sent them, where a feed streams them. A bar that is sent again replaces "
            "the earlier one. Candles are ours and made from ticks; bars are the provider's."
        ),
    )
