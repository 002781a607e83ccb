"""Ticks whose day_volume was a whole number: altered in place, read all the time, converted chunk by chunk."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import psycopg2
import pytest

from ticks_platform.timescale import day_volume, sql_files
from ticks_platform.timescale.candles import rebuild
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.workers import stopped_workers
from ticks_platform_tests.upgrade.dump import OLDER

DAYS = ("2026-11-02", "2026-11-03", "2026-11-04")
"""Of ticks; the first two are compressed."""

TICKS = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at)
SELECT at, symbol, 100, CASE symbol WHEN 'AAPL' THEN 1000 * extract(hour FROM at) END, gen_random_uuid(), 'old', at
FROM generate_series('2026-11-02'::timestamptz, '2026-11-04 23:00', INTERVAL '1 hour') AS at
CROSS JOIN unnest(ARRAY['AAPL', 'NVDA']) AS symbol
"""

LEASES = """
INSERT INTO ticks_platform.feed (feed, provider, synthetic)
VALUES ('running', 'twelve_data', true), ('ended', 'twelve_data', true);
INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at, released_at)
VALUES ('running', 3, 'run 1', now(), now(), NULL), ('ended', 5, 'run 2', now(), now(), now());
"""

LATER = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at)
VALUES (%s, 'AAPL', 101, %s, gen_random_uuid(), 'new', '2026-11-05')
"""


@pytest.fixture
def old(platform_database: PlatformDatabase, server_url: str | None) -> Iterator[Database]:
    """A database of the dumped commit, with ticks and two leases. Nobody runs its policies."""
    database, native = platform_database.drop(), server_url is not None
    with database.autocommit() as cursor, stopped_workers(cursor, native=native):
        cursor.execute((OLDER / "schema.sql").read_text(encoding="utf-8"))
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(TICKS)
        cursor.execute(LEASES)
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', NULL, '2026-11-04')")
        cursor.execute(
            "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time', older_than => %s) AS chunk", DAYS[-1:]
        )
        yield database
    database = platform_database.drop()
    with database.autocommit() as cursor, stopped_workers(cursor, native=native):
        cursor.execute("SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000")


@pytest.fixture
def altered(old: Database) -> Database:
    """The same, under the schema of today."""
    alter(old)
    return old


def alter(database: Database) -> None:
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE)


def ask(database: Database, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def insert(database: Database, time: str, volume: float) -> None:
    with database.transaction() as cursor:
        cursor.execute(LATER, (time, volume))


def left(database: Database) -> list[str]:
    with database.transaction() as cursor:
        return [f"{chunk.begin:%Y-%m-%d}" for chunk in day_volume.unconverted(cursor)]


def drop_candles(database: Database) -> None:
    with database.autocommit() as cursor:
        cursor.execute("DROP VIEW one_minute_candle_volume, one_minute_candle_filled, session_day_candle")
        for candle in ("one_day_candle", "one_hour_candle", "one_minute_candle"):
            cursor.execute(f"DROP MATERIALIZED VIEW {candle}")


def test_leases_of_the_old_release_end(altered: Database) -> None:
    query = "SELECT feed, epoch, owner FROM ticks_platform.feed_lease ORDER BY feed"
    assert ask(altered, query) == [("ended", 5, "run 2"), ("running", 3, "run 1 (ended by an upgrade)")]
    alter(altered)
    assert ask(altered, query) == [("ended", 5, "run 2"), ("running", 3, "run 1 (ended by an upgrade)")]


def test_old_candles_show_new_ticks(altered: Database) -> None:
    """Also in the columnstore, by a refresh; a fraction is rounded there, and what is too large for them is empty."""
    insert(altered, "2026-11-04 23:10:00+00", 24_000.5)
    insert(altered, "2026-11-04 23:20:00+00", 1e300)
    insert(altered, "2026-11-03 10:30:00+00", 10_500)
    with altered.autocommit() as cursor:
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', '2026-11-03', '2026-11-04')")
    found = ask(
        altered,
        "SELECT (bucket AT TIME ZONE 'UTC')::text, day_volume FROM one_minute_candle "
        "WHERE symbol = 'AAPL' AND extract(hour FROM bucket AT TIME ZONE 'UTC') IN (10, 23) AND bucket >= '2026-11-03' "
        "ORDER BY bucket",
    )
    assert found == [
        ("2026-11-03 10:00:00", 10_000),
        ("2026-11-03 10:30:00", 10_500),
        ("2026-11-03 23:00:00", 23_000),
        ("2026-11-04 10:00:00", 10_000),
        ("2026-11-04 23:00:00", 23_000),
        ("2026-11-04 23:10:00", 24_000),
        ("2026-11-04 23:20:00", None),
    ]


def test_what_an_old_loader_sends_is_refused(altered: Database) -> None:
    """It sends eight bytes too, so they would be taken for some fraction."""
    for sent in (1, 2**53, -5):
        (taken_for,) = struct.unpack("!d", struct.pack("!q", sent))
        with pytest.raises(psycopg2.errors.RaiseException, match="older release"):
            insert(altered, "2026-11-04 23:30:00+00", taken_for)
    insert(altered, "2026-11-04 23:30:00+00", 0)


def test_a_conversion_continues_where_it_was_interrupted(altered: Database) -> None:
    before = ask(
        altered, "SELECT tick_id, time, symbol, price, day_volume_whole, feed FROM stocks_real_time ORDER BY 1"
    )
    assert len(before) == 144
    assert left(altered) == [*reversed(DAYS)]

    def killed(line: str) -> None:
        raise InterruptedError(line)

    with pytest.raises(InterruptedError, match=r"day_volume of 24 ticks since 2026-11-04.*chunk 1 of 3"):
        day_volume.convert(altered, killed)
    assert left(altered) == [*reversed(DAYS[:2])]
    drop_candles(altered)
    assert "2 chunks are not converted" in str(day_volume.drop_whole_column(altered))
    alter(altered)
    said: list[str] = []
    day_volume.convert(altered, said.append)
    assert len(said) == 2
    assert left(altered) == []
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s AND is_compressed"
    assert ask(altered, compressed, "stocks_real_time") == [(2,)]
    assert day_volume.drop_whole_column(altered) is None
    assert day_volume.drop_whole_column(altered) is None, "it is gone"
    after = ask(altered, "SELECT tick_id, time, symbol, price, day_volume, feed FROM stocks_real_time ORDER BY 1")
    assert after == before
    alter(altered)
    assert left(altered) == []
    insert(altered, "2026-11-04 23:30:00+00", 5e-324)


def test_the_old_column_stays_while_a_users_view_reads_it(altered: Database) -> None:
    with altered.transaction() as cursor:
        cursor.execute("CREATE VIEW heights AS SELECT symbol, max(day_volume_whole) FROM stocks_real_time GROUP BY 1")
    drop_candles(altered)
    said: list[str] = []
    rebuild.finish(altered, said.append)
    assert left(altered) == []
    assert len(said) == 4
    assert "day_volume_whole stays: " in said[3]
    assert "view heights depends on column day_volume_whole" in said[3]
    insert(altered, "2026-11-04 23:10:00+00", 24_000.5)
    assert ask(altered, "SELECT max FROM heights WHERE symbol = 'AAPL'") == [(24_000,)]
    with altered.transaction() as cursor:
        cursor.execute("DROP VIEW heights")
    rebuild.finish(altered, said.append)
    assert len(said) == 4
    assert ask(altered, "SELECT count(*) FROM pg_trigger WHERE tgname = 'keep_day_volume_whole'") == [(0,)]


def test_altering_is_undone_with_its_transaction(old: Database) -> None:
    with old.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE)
        cursor.connection.rollback()
    assert ask(old, "SELECT max(day_volume) FROM stocks_real_time") == [(23_000,)]
    assert ask(old, "SELECT owner FROM ticks_platform.feed_lease WHERE feed = 'running'") == [("run 1",)]
    alter(old)
    assert left(old) == [*reversed(DAYS)]


def test_a_chunk_is_compressed_again_when_its_conversion_fails(altered: Database) -> None:
    with altered.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT refuses CHECK (day_volume < 23000)")
    with pytest.raises(psycopg2.errors.CheckViolation):
        day_volume.convert(altered, lambda line: None)
    with altered.transaction() as cursor:
        # So that the newest chunk, which is not compressed, does not come first.
        cursor.execute("SELECT drop_chunks('stocks_real_time', newer_than => %s::timestamptz)", (DAYS[-1],))
    with pytest.raises(psycopg2.errors.CheckViolation):
        day_volume.convert(altered, lambda line: None)
    compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s AND is_compressed"
    assert ask(altered, compressed, "stocks_real_time") == [(2,)]
    assert left(altered) == [*reversed(DAYS[:2])]
