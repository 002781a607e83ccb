"""What the tests of the candles' checks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from ticks_platform.ingestion import ledger, switch
from ticks_platform.ingestion.ledger import HourEntry
from ticks_platform.timescale import candles
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.reconciliation import LEVELS

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

CheckOne = Callable[..., dg.AssetCheckEvaluation]


def insert(
    database: Database,
    *prices: object,
    symbol: str = "AAPL",
    ago: float = 30,
    every: float = 1,
    day_volume: str = "NULL",
) -> None:
    """Ticks `every` so many seconds, the first at the begin of the minute that was `ago` minutes ago."""
    with database.transaction() as cursor:
        cursor.execute(
            f"""
            INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at)
            SELECT at, %(symbol)s, price::double precision, {day_volume},
                   (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000'
                    || '8000' || lpad(number::text, 12, '0'))::uuid, 'stocks', at
            FROM (SELECT price, number, date_trunc('minute', now()) - make_interval(secs => %(ago)s * 60)
                                + (number - 1) * make_interval(secs => %(every)s) AS at
                  FROM unnest(%(prices)s) WITH ORDINALITY AS given (price, number)) AS ticks
            """,
            {
                "symbol": symbol,
                "ago": ago,
                "every": every,
                "prices": [None if price is None else str(price) for price in prices],
            },
        )


def change_hours(database: Database) -> None:
    """Count the ticks by hour, as loaded just now."""
    with database.transaction() as cursor:
        switch.switch(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
        cursor.execute("SELECT time_bucket('1 hour', time), count(*) FROM stocks_real_time GROUP BY 1")
        now = datetime.now(timezone.utc)
        entries = [HourEntry(hour, ticks, now) for hour, ticks in cursor.fetchall()]
        ledger.add_hours(cursor, "stocks", "stocks_real_time", entries)


def refresh(database: Database, levels: Sequence[candles.Candle] = LEVELS) -> None:
    with database.autocommit() as cursor:
        for candle in levels:
            candles.refresh_history(cursor, candle)


def tamper(database: Database, statement: str, candle: str = "one_minute_candle") -> int:
    """A statement right on what is materialized, which it calls {table}; how many rows it touched."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = %s",
            (candle,),
        )
        (table,) = cursor.fetchone() or ("",)
        cursor.execute(statement.format(table=table))
        return int(cursor.rowcount)


def number(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


def examples(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    value = evaluation.metadata["examples"]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]
