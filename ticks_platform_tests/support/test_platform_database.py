"""Each test gets the platform as if just created, whatever the test before did."""

from __future__ import annotations

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.platform_database import PlatformDatabase

TICKS = """
INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
SELECT '2024-05-06 12:00:00+00'::timestamptz + minute * INTERVAL '1 minute', 'A', 1.0, gen_random_uuid(), 'f', now()
FROM generate_series(1, 100) minute
"""
CHECKPOINT = """
INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('f', 'twelve_data', true);
INSERT INTO ticks_platform.feed_checkpoint (feed, journal_id, position, frames, frames_before, committed_at)
VALUES ('f', gen_random_uuid(), 0, 0, 0, now())
RETURNING journal_number
"""


def one(database: Database, query: str) -> object:
    with database.transaction() as cursor:
        cursor.execute(query)
        (row,) = cursor.fetchall()
    return row[0]


def identity(database: Database) -> object:
    return one(database, "SELECT 'stocks_real_time'::regclass::oid")


def rows(database: Database) -> object:
    return one(
        database,
        "SELECT (SELECT count(*) FROM stocks_real_time) + (SELECT count(*) FROM one_minute_candle)"
        " + (SELECT count(*) FROM ticks_platform.feed) + (SELECT count(*) FROM ticks_platform.feed_checkpoint)"
        " + (SELECT count(*) FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log)",
    )


def candles(database: Database) -> tuple[object, ...]:
    return tuple(one(database, f"SELECT count(*) FROM {candle}") for candle in ("one_minute_candle", "one_hour_candle"))


def test_rows_are_deleted_and_tables_stay(database: Database, platform_database: PlatformDatabase) -> None:
    created = identity(database)
    numbers = []
    for _ in range(2):
        with database.transaction() as cursor:
            cursor.execute(TICKS)
        numbers.append(one(database, CHECKPOINT))
        assert rows(platform_database.reset()) == 0
    assert identity(database) == created
    assert numbers == [1, 1]


def test_refreshes_are_undone(database: Database, platform_database: PlatformDatabase) -> None:
    created = identity(database)
    for _ in range(2):
        with database.autocommit() as cursor:
            cursor.execute(TICKS)
            assert candles(database) == (100, 2), "computed live"
            cursor.execute("DELETE FROM stocks_real_time WHERE time = '2024-05-06 12:05:00+00'")
            assert candles(database) == (99, 2)
            for candle in ("one_minute_candle", "one_hour_candle"):
                cursor.execute(f"CALL refresh_continuous_aggregate('{candle}', NULL, '2024-05-07')")
            cursor.execute("DELETE FROM stocks_real_time")
        assert candles(database) == (99, 2), "materialized"
        assert rows(platform_database.reset()) == 0
        assert candles(database) == (0, 0)
    assert identity(database) == created


def test_policies_are_deleted(database: Database, platform_database: PlatformDatabase) -> None:
    with database.autocommit() as cursor:
        cursor.execute("SELECT add_retention_policy('stocks_real_time', INTERVAL '100 years')")
        cursor.execute(TICKS)
    assert rows(platform_database.reset()) == 0
    assert one(database, "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE ticks_platform.feed ADD COLUMN more text",
        "ALTER TABLE stocks_real_time DROP CONSTRAINT not_before_1990",
        "ALTER MATERIALIZED VIEW one_hour_candle SET (timescaledb.materialized_only = true)",
        "GRANT SELECT ON stocks_real_time TO PUBLIC",
        "DROP TABLE ticks_platform.rejected_event",
        "CREATE INDEX another ON stocks_real_time (price)",
        "DROP MATERIALIZED VIEW one_minute_candle CASCADE",
    ],
)
def test_the_platform_is_recreated_if_its_schema_changed(
    database: Database, platform_database: PlatformDatabase, statement: str
) -> None:
    created = identity(database)
    with database.autocommit() as cursor:
        cursor.execute(TICKS)
        cursor.execute(statement)
    assert rows(platform_database.reset()) == 0
    assert identity(database) != created
