"""What the tests of the candles' checks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from ticks_platform.ingestion import switch
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.ledger import HourEntry
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database

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


def insert_in_a_minute(database: Database, *prices: str | float, symbol: str = "AAPL", hours_ago: float = 5) -> None:
    """Ticks a second apart from the begin of the hour that was `hours_ago`, in the order given."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT at, %(symbol)s, price::double precision,
                   ('00000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, 'stocks', at
            FROM (SELECT price, number, date_trunc('hour', now()) - make_interval(secs => %(hours)s * 3600)
                                + number * INTERVAL '1 second' AS at
                  FROM unnest(%(prices)s) WITH ORDINALITY AS given (price, number)) AS ticks
            """,
            {"symbol": symbol, "hours": hours_ago, "prices": [str(price) for price in prices]},
        )


def change_hours(database: Database) -> None:
    """Count the ticks by hour, as loaded just now."""
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
        cursor.execute("SELECT time_bucket('1 hour', time), count(*) FROM stocks_real_time GROUP BY 1")
        now = datetime.now(timezone.utc)
        entries = [HourEntry(hour, ticks, now) for hour, ticks in cursor.fetchall()]
        ledger.add_hours(cursor, "stocks", "stocks_real_time", entries)


def refresh(database: Database, levels: Sequence[candles.Candle] = CANDLES) -> None:
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


def account_run(database: Database, job: int, *, minutes_ago: float, error: str | None = None) -> None:
    """What the database's scheduler writes down of a run."""
    parameters = {"job": job, "ago": minutes_ago, "success": error is None, "error": error}
    with database.transaction() as cursor:
        cursor.execute(
            """
            DELETE FROM _timescaledb_internal.bgw_job_stat WHERE job_id = %(job)s;
            INSERT INTO _timescaledb_internal.bgw_job_stat (
                job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs,
                total_duration, total_duration_failures, total_successes, total_failures, total_crashes,
                consecutive_failures, consecutive_crashes
            )
            SELECT %(job)s, at, at, at + INTERVAL '1 minute', CASE WHEN %(success)s THEN at ELSE '-infinity' END,
                   %(success)s, 1, INTERVAL '1 s', INTERVAL '0', 1, 0, 0, 0, 0
            FROM (SELECT now() - make_interval(secs => %(ago)s * 60) AS at) AS run
            """,
            parameters,
        )
        if error is not None:
            cursor.execute(
                """
                INSERT INTO _timescaledb_internal.bgw_job_stat_history
                    (job_id, pid, succeeded, execution_start, execution_finish, data)
                VALUES (%(job)s, 1, false, now() - make_interval(secs => %(ago)s * 60), now(), jsonb_build_object(
                    'job', jsonb_build_object(
                        'owner', current_user, 'proc_name', 'policy_refresh_continuous_aggregate'),
                    'error_data', jsonb_build_object('message', %(error)s, 'sqlerrcode', '53100')))
                """,
                parameters,
            )


def number(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


def examples(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    value = evaluation.metadata["examples"]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]
