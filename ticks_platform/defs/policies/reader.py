"""The grants of the role that reads, where TICKS_READER_ROLE names one."""

import os

import dagster as dg

from ticks_platform.defs.common.labels import KINDS, OWNERS, READER_TAG, defined_in
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.timescale import readers

ROLE_VARIABLE = "TICKS_READER_ROLE"

TABLES = (
    "stocks_real_time",
    "stock_quotes",
    "stock_aggregates",
    "company",
    "market_calendar",
    "corporate_actions",
    "one_minute_candle",
    "one_hour_candle",
    "one_day_candle",
    "feed_gaps",
    "gap_repair",
    "true_up",
)
"""The assets that make what the role may read; grants come after them."""


@dg.definitions
def reader() -> dg.Definitions:
    """The asset `reader`, where TICKS_READER_ROLE is set; otherwise nothing."""
    role = os.environ.get(ROLE_VARIABLE, "").strip()
    if not role:
        return dg.Definitions()

    @dg.asset(
        name="reader",
        deps=list(TABLES),
        group_name="policies",
        tags=dict([READER_TAG]),
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("grants/reader.sql"),
        description=(
            f"The role {role}, which {ROLE_VARIABLE} names, may read ticks, candles and the account, and write nothing."
        ),
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            number = readers.let_read(cursor, role)
        return dg.MaterializeResult(metadata={"role": role, "tables": number})

    return dg.Definitions(assets=[asset])
