"""The SQL files: idempotent, and refusing what must not be in the table."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from ticks_platform.timescale import sql_files, tables
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import policies
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support import skips

INSERT = (
    "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
    "VALUES (%s, 'AAPL', 1, gen_random_uuid(), 'test', now())"
)


def all_files(root: Path) -> list[str]:
    """Every file that makes an object, in an order that satisfies their references."""
    made = [*sql_files.HYPERTABLE, *sql_files.MACHINERY, *sql_files.RETENTION, *sql_files.NOTES, "schema/company.sql"]
    candles = [file for candle in CANDLES for file in candle.files]
    found = {
        f"{file.parent.name}/{file.name}"
        for folder in ("schema", "candles")
        for file in (root / "sql" / folder).glob("*.sql")
    }
    made += [*candles, *sql_files.CANDLE_REASONS]
    assert set(made) == found, "a file under sql/ is applied by nobody, or one is missing"
    return made


def test_applying_everything_twice_changes_nothing(empty_database: Database, repository_root: Path) -> None:
    files = all_files(repository_root)
    found = []
    for _ in range(2):
        with empty_database.transaction() as cursor:
            sql_files.apply(cursor, *files)
            make_policies(cursor)
        with empty_database.transaction() as cursor:
            cursor.execute("SELECT job_id, proc_name, config::text FROM timescaledb_information.jobs ORDER BY job_id")
            jobs = cursor.fetchall()
            found.append((jobs, tables.columns(cursor, "stocks_real_time"), tables.columns(cursor, "one_hour_candle")))
    assert found[0] == found[1]
    assert sum(job[1] == "policy_refresh_continuous_aggregate" for job in found[0][0]) == 3


def test_applying_everything_again_waits_for_no_reader(
    database: Database, repository_root: Path, server_url: str | None
) -> None:
    """A lock that waits for the queries on a table holds up all later ones: each start would stop what is running."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database shows no locks")
    files = all_files(repository_root)
    with database.transaction() as cursor:
        sql_files.apply(cursor, *files)
    with database.transaction() as cursor:
        sql_files.apply(cursor, *files)
        cursor.execute(
            """
            SELECT relation::regclass::text
            FROM pg_locks
            JOIN pg_class ON pg_class.oid = relation
            WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relkind = 'r'
            ORDER BY 1
            """
        )
        assert [table for (table,) in cursor.fetchall()] == []


def test_the_tutorials_columns_come_first(database: Database) -> None:
    with database.transaction() as cursor:
        ticks = tables.columns(cursor, "stocks_real_time")
        hours = tables.columns(cursor, "one_hour_candle")
    assert [column.name for column in ticks[:4]] == ["time", "symbol", "price", "day_volume"]
    assert [column.name for column in hours[:7]] == ["bucket", "symbol", "open", "high", "low", "close", "day_volume"]


def test_rows_land_in_chunks_of_one_day(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(INSERT, ("2026-01-05 12:00+00",))
        cursor.execute(INSERT, ("2026-01-06 12:00+00",))
        cursor.execute("SELECT count(*) FROM ONLY stocks_real_time")
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT range_end - range_start FROM timescaledb_information.chunks "
            "WHERE hypertable_name = 'stocks_real_time'"
        )
        assert [str(row[0]) for row in cursor.fetchall()] == ["1 day, 0:00:00"] * 2


@pytest.mark.parametrize("time", ["2099-01-01 00:00+00", "1989-12-31 23:59:59+00"])
def test_a_time_that_cannot_be_is_refused_by_the_table(database: Database, time: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation), database.transaction() as cursor:
        cursor.execute(INSERT, (time,))


def test_the_hourly_policy_is_the_tutorials(database: Database) -> None:
    with database.transaction() as cursor:
        make_policies(cursor)
    with database.transaction() as cursor:
        hour = policies.refresh_policy(cursor, "one_hour_candle")
        minute = policies.refresh_policy(cursor, "one_minute_candle")
        assert policies.refresh_policy(cursor, "no_such_candle") is None
    assert hour is not None
    assert (hour.candle, hour.start_offset, hour.end_offset) == ("one_hour_candle", "03:00:00", "01:00:00")
    assert hour.schedule_interval.total_seconds() == 3600
    assert minute is not None
    assert minute.schedule_interval.total_seconds() == 60


def columnstore(database: Database) -> list[tuple[str, int | None, int | None]]:
    """Columns that the columnstore groups by and is ordered by, with their places."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT attname, segmentby_column_index, orderby_column_index "
            "FROM timescaledb_information.compression_settings WHERE hypertable_name = 'stocks_real_time' ORDER BY 1"
        )
        return cursor.fetchall()


def test_the_columnstore_is_set_up_and_a_users_own_choice_stays(database: Database) -> None:
    assert columnstore(database) == [("symbol", 1, None), ("tick_id", None, 2), ("time", None, 1)]
    with database.transaction() as cursor:
        cursor.execute(
            "ALTER TABLE stocks_real_time SET (timescaledb.compress, timescaledb.compress_segmentby = 'feed', "
            "timescaledb.compress_orderby = 'time DESC')"
        )
    chosen = columnstore(database)
    assert chosen == [("feed", 1, None), ("time", None, 1)]
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE)
    assert columnstore(database) == chosen


def test_the_columnstore_is_set_up_where_an_older_version_had_none(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time SET (timescaledb.compress = false)")
    assert columnstore(database) == []
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE)
    assert len(columnstore(database)) == 3
