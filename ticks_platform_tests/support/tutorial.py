"""A database as the tutorial leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ticks_platform.timescale.adoption.adopt import adopt
from ticks_platform.timescale.adoption.plan import Plan
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TABLE = """
CREATE TABLE stocks_real_time (
    time TIMESTAMPTZ NOT NULL, symbol TEXT NOT NULL, price DOUBLE PRECISION NULL, day_volume INT NULL
);
SELECT create_hypertable('stocks_real_time', by_range('time'));
CREATE INDEX ix_symbol_time ON stocks_real_time (symbol, time DESC);
"""
ROWS = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume)
SELECT
    '2026-10-05 14:00:00+00'::timestamptz + INTERVAL '1 hour' * (number / 8) + INTERVAL '1 second' * (number % 8 / 3),
    CASE number % 3 WHEN 0 THEN 'AAPL' WHEN 1 THEN 'BTC/USD' ELSE 'OLD' END,
    100 + number * 7 % 31 + 0.1,
    CASE WHEN number % 3 = 0 THEN number END
FROM generate_series(0, 1999) AS number
ORDER BY number
"""
"""Ten days, with several ticks of a symbol in the same second."""

COMPANY = """
CREATE TABLE company (symbol TEXT NOT NULL, name TEXT NOT NULL);
INSERT INTO company VALUES ('AAPL', 'Apple'), ('AAPL', 'Apple Inc'), ('BTC/USD', 'Bitcoin'), ('AAPL', 'Apple Inc');
"""
CANDLE = """
CREATE MATERIALIZED VIEW one_hour_candle WITH (timescaledb.continuous) AS
SELECT time_bucket('1 hour', time) AS bucket, symbol, FIRST(price, time) AS "open", MAX(price) AS high,
    MIN(price) AS low, LAST(price, time) AS "close", LAST(day_volume, time) AS day_volume
FROM stocks_real_time
GROUP BY bucket, symbol
WITH NO DATA;
SELECT add_continuous_aggregate_policy('one_hour_candle', start_offset => INTERVAL '3 hours',
    end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');
"""

LEFT = """
SELECT format('DROP MATERIALIZED VIEW IF EXISTS %I CASCADE', view_name)
FROM timescaledb_information.continuous_aggregates
UNION ALL
SELECT format('DROP VIEW IF EXISTS %I CASCADE', viewname) FROM pg_views
WHERE schemaname = 'public' AND viewname NOT IN (SELECT view_name FROM timescaledb_information.continuous_aggregates)
UNION ALL
SELECT format('DROP TABLE IF EXISTS %I CASCADE', tablename) FROM pg_tables WHERE schemaname = 'public'
"""

UNCHANGED = """
SELECT pg_class.oid::regclass::text, relkind, attname, format_type(atttypid, atttypmod), attnotnull
FROM pg_class
JOIN pg_attribute ON attrelid = pg_class.oid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE attnum > 0 AND NOT attisdropped AND nspname IN ('public', 'ticks_platform')
ORDER BY 1, attnum
"""


class Tutorial(NamedTuple):
    """A database of the tutorial, and what is done with it."""

    database: Database
    said: list[str]

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query, in UTC."""
        with self.database.transaction() as cursor:
            cursor.execute("SET LOCAL timezone = 'UTC'")
            cursor.execute(query, parameters or None)
            return cursor.fetchall()

    def run(self, *statements: str) -> None:
        """Run statements, each outside of a transaction."""
        with self.database.autocommit() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            for statement in statements:
                cursor.execute(statement)

    def rows(self) -> list[tuple[Any, ...]]:
        """The tutorial's columns of all ticks."""
        return self.ask(
            "SELECT time, symbol, price, day_volume::float8 FROM stocks_real_time "
            "ORDER BY time, symbol, price, day_volume"
        )

    def adopt(self, *, keep: bool = False, say: Callable[[str], None] | None = None) -> Plan:
        """Adopt it, with AAPL and BTC/USD in feeds.yaml."""
        symbols = {"AAPL", "BTC/USD"}
        return adopt(self.database, keep_candles=keep, symbols=symbols, say=say or self.said.append)

    def structure(self) -> list[tuple[Any, ...]]:
        """Tables and columns."""
        return self.ask(UNCHANGED)


def _drop_all(cursor: Cursor) -> None:
    cursor.execute(LEFT)
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)


@pytest.fixture
def without_tables(platform_database: PlatformDatabase, server_url: str | None) -> Iterator[Tutorial]:
    """A database without any table, whose policies nobody runs."""
    native = server_url is not None
    database = platform_database.drop()
    with database.autocommit() as cursor, stopped_workers(cursor, native=native):
        _drop_all(cursor)
        before = Tutorial(database, []).structure()
        yield Tutorial(database, [])
        cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")
        _drop_all(cursor)
    platform_database.drop()
    assert Tutorial(database, []).structure() == before, "a test leaves tables"


@pytest.fixture
def tutorial(without_tables: Tutorial) -> Tutorial:
    """The tables of the tutorial, with rows, and its candle, refreshed."""
    without_tables.run(TABLE, ROWS, COMPANY, CANDLE, "CALL refresh_continuous_aggregate('one_hour_candle', NULL, NULL)")
    return without_tables
