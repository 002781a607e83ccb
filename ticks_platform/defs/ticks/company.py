"""The symbols and the names that people know them by."""

import dagster as dg

from ticks_platform.defs.common.labels import KINDS, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.timescale import companies, sql_files
from ticks_platform.timescale.adoption.relations import require_own_tables


@dg.definitions
def company() -> dg.Definitions:
    """The asset `company`, filled from the symbols of feeds.yaml."""
    names = {}
    for feed in feed_settings().feeds:
        connector = feed.keyless_connector()
        for item in feed.symbols:
            symbol = connector.symbol_of(item.symbol)
            names[symbol] = item.name or symbol

    @dg.asset(
        name="company",
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/company.sql"),
        description="The symbols that the feeds stream and the names that people know them by, from feeds.yaml.",
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            require_own_tables(cursor)
            sql_files.apply(cursor, "schema/company.sql")
            rows = companies.keep(cursor, names)
            metadata = table_metadata(cursor, "company")
        return dg.MaterializeResult(metadata={**metadata, "dagster/row_count": rows})

    return dg.Definitions(assets=[asset])
