"""Assets: the hypertable and the candles. Each one makes the database agree with its SQL file."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ticks_platform.defs import charts
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.timescale import companies, sql_files, tables
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles import definitions as candle_definitions
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle, CandleSummary
from ticks_platform.timescale.requirements import require_timescaledb

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

OWNERS = ["team:market-data"]
KINDS = {"timescaledb", "postgres"}
MAX_RUNTIME = {"dagster/max_runtime": "3600"}
"""Seconds after which run monitoring fails a run: one whose machine died would stay in flight, in the way, for ever."""
LIVE = dg.DataVersion("live")
"""The data version of tables that change all the time: a new tick must not mark everything downstream as unsynced."""
REFRESH_POOL = "candle_refresh"
"""Refreshes take turns: two of one candle at once fail, and on some TimescaleDB releases give wrong candles."""


def definition_metadata(file: str) -> dict[str, Any]:
    """A file under sql/, for the UI."""
    return {
        "definition": dg.MetadataValue.md(f"```sql\n{sql_files.read(file)}\n```"),
        "file": dg.MetadataValue.path(f"sql/{file}"),
    }


def _table_metadata(cursor: "Cursor", table: str) -> dict[str, Any]:
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in tables.columns(cursor, table)
        ]
    )
    return {"dagster/table_name": f"public.{table}", "dagster/column_schema": schema}


def candle_metadata(candle: Candle, summary: CandleSummary) -> dict[str, Any]:
    """What a candle table holds, for the UI."""
    return {
        "candles": summary.rows,
        "symbols": summary.symbols,
        "first bucket": str(summary.first_bucket or "none yet"),
        "last bucket": str(summary.last_bucket or "none yet"),
        **charts.numbers(candle, summary),
    }


def stocks_real_time() -> dg.AssetsDefinition:
    """The asset `stocks_real_time`, the hypertable of ticks."""

    @dg.asset(
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/stocks_real_time.sql"),
        description=(
            "The ticks: one row per price event, in a TimescaleDB hypertable with chunks of one day. Materializing it "
            "creates the table and the machinery of ingestion where they are missing; ingestion runs report here what "
            "they load."
        ),
    )
    def stocks_real_time(database: DatabaseResource) -> dg.MaterializeResult[None]:
        # Two transactions: the machinery waits for the leases of loaders, which wait for the locks of the tables.
        with database.transaction() as cursor:
            require_timescaledb(cursor)
            sql_files.apply(cursor, *sql_files.HYPERTABLE)
        with database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.MACHINERY)
        with database.transaction() as cursor:
            metadata = _table_metadata(cursor, "stocks_real_time")
        return dg.MaterializeResult(
            data_version=LIVE,
            metadata={**metadata, "database": database.database.description},
        )

    return stocks_real_time


def _table_asset(table: str, *, description: str) -> dg.AssetsDefinition:
    file = f"schema/{table}.sql"

    @dg.asset(
        name=table,
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata(file),
        description=description,
    )
    def asset(database: DatabaseResource) -> dg.MaterializeResult[None]:
        with database.transaction() as cursor:
            require_timescaledb(cursor)
            sql_files.apply(cursor, file)
            metadata = _table_metadata(cursor, table)
        return dg.MaterializeResult(data_version=LIVE, metadata=metadata)

    return asset


def stock_quotes() -> dg.AssetsDefinition:
    """The asset `stock_quotes`."""
    return _table_asset(
        "stock_quotes", description="Best bids and offers, one row per quote, where a feed streams them."
    )


def stock_aggregates() -> dg.AssetsDefinition:
    """The asset `stock_aggregates`."""
    return _table_asset(
        "stock_aggregates",
        description=(
            "Bars: aggregates as the provider sent them, where a feed streams them. A bar that is sent again replaces "
            "the earlier one. Candles are ours and made from ticks; bars are the provider's."
        ),
    )


def company(settings: PlatformSettings) -> dg.AssetsDefinition:
    """The asset `company`, filled from the symbols of feeds.yaml."""
    names = {item.symbol: item.name or item.symbol for feed in settings.feeds for item in feed.symbols}

    @dg.asset(
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/company.sql"),
        description="The symbols that the feeds stream and the names that people know them by, from feeds.yaml.",
    )
    def company(database: DatabaseResource) -> dg.MaterializeResult[None]:
        with database.transaction() as cursor:
            sql_files.apply(cursor, "schema/company.sql")
            rows = companies.keep(cursor, names)
            metadata = _table_metadata(cursor, "company")
        return dg.MaterializeResult(metadata={**metadata, "dagster/row_count": rows})

    return company


def _candle_asset(candle: Candle, *, source: str, description: str, views: tuple[str, ...] = ()) -> dg.AssetsDefinition:
    file = f"candles/{candle.name}.sql"

    @dg.asset(
        name=candle.name,
        deps=[source],
        group_name="candles",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        metadata=definition_metadata(file),
        description=description,
    )
    def asset(database: DatabaseResource) -> dg.MaterializeResult[None]:
        with database.transaction() as cursor:
            drift = candle_definitions.drift(cursor, candle)
            # A changed file changes nothing by itself: the history has to come along, by the job rebuild_candle.
            if drift is None:
                sql_files.apply(cursor, file, *views)
        with database.autocommit() as cursor:
            candles.refresh_history(cursor, candle)
            summary = candles.summarize(cursor, candle)
            metadata = {**_table_metadata(cursor, candle.name), **charts.chart(cursor, candle, summary)}
        definition = "as in its file" if drift is None else f"{drift.words}: see the job rebuild_candle"
        return dg.MaterializeResult(
            data_version=LIVE,
            metadata={**metadata, **candle_metadata(candle, summary), "definition in the database": definition},
        )

    return asset


def one_minute_candle() -> dg.AssetsDefinition:
    """The asset `one_minute_candle`."""
    return _candle_asset(
        ONE_MINUTE,
        source="stocks_real_time",
        description=(
            "OHLCV candles of one minute, a continuous aggregate over the ticks; buckets are UTC. Materializing it "
            "creates the aggregate where it is missing and refreshes every closed minute that the ticks still cover. "
            "The view one_minute_candle_volume on it derives volume where a feed has no trade sizes, and "
            "one_minute_candle_filled has the provider's bars in the minutes of gaps, with a column that says so."
        ),
        views=("candles/one_minute_candle_volume.sql", "candles/one_minute_candle_filled.sql"),
    )


def one_hour_candle() -> dg.AssetsDefinition:
    """The asset `one_hour_candle`."""
    return _candle_asset(
        ONE_HOUR,
        source="one_minute_candle",
        description=(
            "OHLCV candles of one hour, a continuous aggregate over the candles of one minute; buckets are UTC. "
            "Materializing it creates the aggregate where it is missing and refreshes every closed hour that the ticks "
            "still cover."
        ),
    )


def one_day_candle() -> dg.AssetsDefinition:
    """The asset `one_day_candle`."""
    return _candle_asset(
        ONE_DAY,
        source="one_hour_candle",
        description=(
            "OHLCV candles of one day, a continuous aggregate over the candles of one hour; days are UTC. "
            "Materializing it creates the aggregate where it is missing and refreshes every closed day that the ticks "
            "still cover. The view session_day_candle has the trading days of each symbol's exchange instead."
        ),
        views=("candles/session_day_candle.sql",),
    )


bring_up = dg.define_asset_job(
    "bring_up",
    selection=(
        dg.AssetSelection.all() - dg.AssetSelection.assets("candle_refresh", "gap_repair", "history_backfill")
    ).without_checks(),
    tags=MAX_RUNTIME,
    description="Creates whatever is missing in the database: hypertable, candles, policies. Changes nothing else.",
)

refresh_candles = dg.define_asset_job(
    "refresh_candles",
    selection=dg.AssetSelection.groups("policies"),
    tags=MAX_RUNTIME,
    description="Runs the policies; for databases without a scheduler of their own.",
)
