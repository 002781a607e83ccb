"""What the platform needs of TimescaleDB, through the bridge."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2.extensions
import pytest

from .conftest import run, value

Connection = psycopg2.extensions.connection


@pytest.fixture
def ticks(connection: Connection) -> Iterator[str]:
    """A hypertable with two days of ticks of two symbols, one a minute, and a gap of an hour."""
    run(connection, "CREATE TABLE ticks (time timestamptz NOT NULL, symbol text NOT NULL, price float8)")
    run(connection, "SELECT create_hypertable('ticks', 'time', chunk_time_interval => interval '1 day')")
    run(
        connection,
        """INSERT INTO ticks SELECT time, symbol, extract(epoch FROM time)::int / 60 % 100
           FROM generate_series('2026-01-01'::timestamptz, '2026-01-02 23:59', '1 min') time,
                unnest(ARRAY['AAPL', 'BTC/USD']) symbol
           WHERE time NOT BETWEEN '2026-01-01 05:00' AND '2026-01-01 05:59'""",
    )
    yield "ticks"
    for candles in ("candle_1d", "candle_1h"):
        run(connection, f"DROP MATERIALIZED VIEW IF EXISTS {candles}")
    run(connection, "DROP TABLE ticks CASCADE")


def test_candles_refresh_and_run_job(connection: Connection, ticks: str) -> None:
    run(
        connection,
        f"""CREATE MATERIALIZED VIEW candle_1h WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
            SELECT time_bucket('1 hour', time) AS bucket, symbol, first(price, time) AS open, max(price) AS high,
                   min(price) AS low, last(price, time) AS close, count(*) AS ticks
            FROM {ticks} GROUP BY 1, 2 WITH NO DATA""",
    )
    run(
        connection,
        """CREATE MATERIALIZED VIEW candle_1d WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
           SELECT time_bucket('1 day', bucket) AS bucket, symbol, sum(ticks) AS ticks
           FROM candle_1h GROUP BY 1, 2 WITH NO DATA""",
    )
    run(connection, "CALL refresh_continuous_aggregate('candle_1h', '2026-01-01', '2026-01-02')")
    assert value(connection, "SELECT count(*) FROM candle_1h") == 23 * 2
    job = value(
        connection,
        """SELECT add_continuous_aggregate_policy('candle_1h', start_offset => NULL, end_offset => interval '1 hour',
                                                  schedule_interval => interval '1 hour')""",
    )
    run(connection, f"CALL run_job({job})")
    run(connection, "CALL refresh_continuous_aggregate('candle_1d', NULL, NULL)")
    assert value(connection, "SELECT count(*) FROM candle_1h") == 47 * 2
    assert run(connection, "SELECT DISTINCT ticks FROM candle_1d ORDER BY 1") == [(23 * 60,), (24 * 60,)]


def test_compression(connection: Connection, ticks: str) -> None:
    before = run(connection, f"SELECT symbol, sum(price), count(*) FROM {ticks} GROUP BY 1 ORDER BY 1")
    run(connection, f"ALTER TABLE {ticks} SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')")
    run(connection, f"SELECT compress_chunk(chunk) FROM show_chunks('{ticks}') chunk")
    run(connection, f"INSERT INTO {ticks} VALUES ('2026-01-01 05:30', 'AAPL', 0)")
    sizes = (
        "SELECT sum(before_compression_total_bytes) > sum(after_compression_total_bytes) FROM chunk_compression_stats"
    )
    assert value(connection, f"{sizes}('{ticks}')") is True
    run(connection, f"DELETE FROM {ticks} WHERE time = '2026-01-01 05:30'")
    assert run(connection, f"SELECT symbol, sum(price), count(*) FROM {ticks} GROUP BY 1 ORDER BY 1") == before


def test_gapfill(connection: Connection, ticks: str) -> None:
    rows = run(
        connection,
        f"""SELECT time_bucket_gapfill('1 hour', time) AS hour, count(price), locf(last(price, time)) FROM {ticks}
            WHERE symbol = 'AAPL' AND time >= '2026-01-01 04:00' AND time < '2026-01-01 07:00' GROUP BY 1 ORDER BY 1""",
    )
    assert [row[1] for row in rows] == [60, None, 60]
    assert rows[1][2] == rows[0][2]


def test_a_zone_with_summer_time(connection: Connection) -> None:
    days = "SELECT DISTINCT time_bucket('1 day', time, 'America/New_York') FROM generate_series"
    assert len(run(connection, f"{days}('2026-03-08 06:00Z'::timestamptz, '2026-03-09 03:59Z', '1 hour') time")) == 1
