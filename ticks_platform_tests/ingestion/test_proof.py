"""Fingerprints: those of the loader are the database's, and they find ticks that are not as they were loaded."""

from __future__ import annotations

import io
import random
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from psycopg2 import sql

from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Tick
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.audit import Hours
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale import gone, quality, seals, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

HOUR = 3600
NOON = int(time.time()) // 86_400 * 86_400 - 86_400 // 2
"""Noon of yesterday, UTC."""

STORED = (
    "SELECT time_bucket('1 hour', time), sum(ticks_platform.tick_hash(tick_id, price, size, updates)) "
    "FROM stocks_real_time GROUP BY 1 ORDER BY 1"
)


def execute(database: Database, *statements: str) -> None:
    with database.transaction() as cursor:
        for statement in statements:
            cursor.execute(statement)


def compare(database: Database, *, oldest: bool = False, fresh: timedelta = timedelta(0)) -> Hours:
    with database.autocommit() as cursor:
        return audit.hours(cursor, oldest=oldest, fresh=fresh)


def proof(database: Database) -> audit.Proof:
    with database.autocommit() as cursor:
        return audit.proof(cursor)


def utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


@pytest.fixture
def loaded(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Database:
    """Three ticks in each of the hours 11, 12 and 13 of yesterday, in one minute, with three prices; proven."""
    frames = [
        price(timestamp=NOON + HOUR * hour + second, price=100 + second) for hour in (-1, 0, 1) for second in range(3)
    ]
    make_loader(take_lease("one"), frames).run()
    assert compare(database).differing == 0
    assert proof(database)[:2] == (3, 3)
    return database


@pytest.mark.parametrize("by_column", [False, True])
def test_the_loaders_fingerprints_are_the_databases(database: Database, *, by_column: bool) -> None:
    draw = random.Random(f"proof {by_column}")

    def number(chance: float, made: float) -> float | None:
        return made if draw.random() < chance else None

    ticks = [
        Tick(
            "AAPL",
            (NOON + draw.randrange(3 * HOUR)) * 10**9 + draw.randrange(10**9),
            draw.choice((draw.uniform(0, 500), 0.0, -0.0, -37.63, 1e-9, 1e15)),
            size=number(0.7, draw.choice((0.0, 100.0, draw.random()))),
            updates=draw.choice((None, None, 0, 1, 3, 7, 16, 31)),
        )
        for _ in range(3000)
    ]
    arrival = (NOON + 4 * HOUR) * 10**9
    events: list[Tick] | TickColumns = TickColumns.of(ticks) if by_column else ticks
    batch = Rows(events, np.arange(9, 3009, dtype=np.int64) << 20, np.full(3000, arrival, np.int64))
    assert TICKS.encode is not None
    with database.transaction() as cursor:
        statement = sql.SQL("COPY stocks_real_time ({}) FROM STDIN (FORMAT binary)").format(
            sql.SQL(", ").join(map(sql.Identifier, TICKS.columns))
        )
        cursor.copy_expert(statement, io.BytesIO(TICKS.encode(batch, "test", 3)))
    parts = [batch.part(0, 1000), batch.part(1000, 3000)]
    found = ledger.hours(parts, ticks_of_journal=3)
    assert [(each.hour, each.fingerprint) for each in found] == rows(database, STORED)


@pytest.mark.full
def test_the_formula_is_that_of_the_issue(loaded: Database) -> None:
    """Hashes are chained, and what is NULL is left out; without a price there is none."""
    (found,) = rows(
        loaded,
        "SELECT ticks_platform.tick_hash(id, 1.5, 10, NULL) "
        "= hashfloat8extended(10, hashfloat8extended(1.5, uuid_hash_extended(id, 0))), "
        "ticks_platform.tick_hash(id, 1.5, NULL, NULL) = hashfloat8extended(1.5, uuid_hash_extended(id, 1)), "
        "ticks_platform.tick_hash(id, 1.5, NULL, 3::smallint) "
        "= hashint2extended(3::smallint, hashfloat8extended(1.5, uuid_hash_extended(id, 1))), "
        "ticks_platform.tick_hash(id, NULL, 10, 3::smallint), ticks_platform.fingerprint_version()::int "
        "FROM (SELECT tick_id AS id FROM stocks_real_time LIMIT 1) AS one",
    )
    assert found == (True, True, True, None, 1)


CHANGES = {
    "a changed price": f"UPDATE stocks_real_time SET price = price + 0.01 WHERE time = to_timestamp({NOON})",
    "a price that is gone": f"UPDATE stocks_real_time SET price = NULL WHERE time = to_timestamp({NOON})",
    "two swapped prices": (
        "UPDATE stocks_real_time SET price = 202 - price "
        f"WHERE time IN (to_timestamp({NOON}), to_timestamp({NOON + 2}))"
    ),
    "a tick that counts no more": f"UPDATE stocks_real_time SET updates = 8 WHERE time = to_timestamp({NOON})",
    "a size": f"UPDATE stocks_real_time SET size = 0 WHERE time = to_timestamp({NOON})",
    "a deleted tick": f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON})",
    "an added tick": (
        "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) SELECT time, symbol, price, "
        f"gen_random_uuid(), feed, received_at FROM stocks_real_time WHERE time = to_timestamp({NOON})"
    ),
    "one for another": (
        f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON}); "
        "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) SELECT time, symbol, price, "
        f"gen_random_uuid(), feed, received_at FROM stocks_real_time WHERE time = to_timestamp({NOON + 1})"
    ),
}


@pytest.mark.parametrize(
    ("change", "oldest"),
    [
        pytest.param(change, oldest, marks=() if change == "two swapped prices" and not oldest else pytest.mark.full)
        for change in CHANGES
        for oldest in (False, True)
    ],
)
def test_what_was_changed_is_found(loaded: Database, change: str, *, oldest: bool) -> None:
    execute(loaded, CHANGES[change])
    (problem,) = [each for each in compare(loaded, oldest=oldest).problems() if each.startswith("feed")]
    hour = f"feed test: the 3 ticks of the hour {utc(NOON)} UTC are not those that were loaded"
    assert problem.startswith(hour) is (change not in ("a deleted tick", "an added tick"))
    assert f"hour {utc(NOON)} UTC" in problem


@pytest.mark.full
def test_a_change_in_the_columnstore_is_found(loaded: Database) -> None:
    execute(loaded, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    assert compare(loaded, oldest=True).differing == 0
    execute(loaded, CHANGES["two swapped prices"])
    assert compare(loaded, oldest=True).differing == 1


@pytest.mark.full
def test_an_hour_is_read_once_until_it_changes(loaded: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    assert compare(loaded, fresh=timedelta(minutes=6)).compared == 0
    make_loader(take_lease("two"), [price(timestamp=NOON + 9)]).run()
    assert proof(loaded)[:3] == (3, 2, datetime.fromtimestamp(NOON, timezone.utc))
    found = compare(loaded, fresh=timedelta(minutes=6))
    assert (found.compared, found.stored, found.differing) == (1, 4, 0)
    assert proof(loaded)[:3] == (3, 3, datetime.fromtimestamp(NOON + 2 * HOUR, timezone.utc))
    execute(loaded, "UPDATE ticks_platform.proven_hour SET proven_at = proven_at - INTERVAL '6 minutes'")
    assert compare(loaded, fresh=timedelta(minutes=6)).compared == 3


def test_prices_are_judged_as_ticks_are_proven(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """By the check of prices, which reads no tick itself; also that of a late tick, and of a row by hand."""

    def proven() -> tuple[int, int]:
        with database.autocommit() as cursor:
            assert audit.hours(cursor, fresh=timedelta(minutes=6)).differing == 0
            return quality.impossible_prices(cursor, window=timedelta(hours=1))

    def load(*prices: float, ago: float) -> None:
        frames = [price("AAPL", timestamp=int(time.time() - ago) + n, price=each) for n, each in enumerate(prices)]
        make_loader(take_lease(f"owner {time.monotonic_ns()}"), frames).run()

    load(100, 101, ago=100)
    assert proven()[1] == 0
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO instrument (symbol, may_be_negative) VALUES ('CL', true)")
    load(-1, 102, ago=1500)
    assert proven()[1] == 1, "it came 25 minutes late"
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - INTERVAL '90 s', 'CL', -3)")
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - INTERVAL '90 s', 'X', 'NaN')"
        )
        cursor.execute("UPDATE ticks_platform.proven_slice SET read_at = read_at - INTERVAL '7 minutes'")
        cursor.execute("UPDATE ticks_platform.proven_hour SET proven_at = proven_at - INTERVAL '7 minutes'")
    assert proven()[1] == 2, "the rows by hand are judged when their time is read again"


@pytest.mark.full
def test_a_change_leaves_its_hour_unproven(loaded: Database) -> None:
    execute(loaded, CHANGES["a changed price"], "DELETE FROM ticks_platform.proven_hour")
    assert compare(loaded).differing == 1
    assert compare(loaded, fresh=timedelta(minutes=6)).differing == 1
    found = proof(loaded)
    assert found[:2] == (3, 2)
    assert found.words().startswith(f"2 of 3 hours are proven, all until {utc(NOON)} UTC; the oldest proof is of ")


def test_hours_of_older_releases_get_their_fingerprint_once(
    loaded: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    execute(
        loaded,
        "UPDATE ticks_platform.feed_hour SET fingerprint = NULL, fingerprint_version = NULL",
        "DELETE FROM ticks_platform.proven_hour",
        "DELETE FROM ticks_platform.proven_slice",
        f"DELETE FROM stocks_real_time WHERE time = to_timestamp({NOON + HOUR})",
    )
    make_loader(take_lease("two"), [price(timestamp=NOON + 9)]).run()
    with loaded.autocommit() as cursor:
        assert audit.fill_fingerprints(cursor, budget=1) == 0  # the newest lacks a tick
        assert audit.fill_fingerprints(cursor) == 2
        assert audit.fill_fingerprints(cursor) == 0
    filled = "SELECT hour, fingerprint FROM ticks_platform.feed_hour WHERE fingerprint IS NOT NULL ORDER BY hour"
    assert rows(loaded, filled) == rows(loaded, STORED)[:2]
    assert proof(loaded)[:2] == (3, 2)
    assert [row["hour"] for row in compare(loaded).examples] == [utc(NOON + HOUR)]
    execute(loaded, CHANGES["a changed price"])
    assert [row["hour"] for row in compare(loaded).examples] == [utc(NOON + HOUR), utc(NOON)]


@pytest.mark.full
def test_a_loader_of_a_release_without_fingerprints_ends(
    loaded: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    old = take_lease("old")
    execute(
        loaded,
        "DROP TABLE ticks_platform.proven_hour",
        "UPDATE ticks_platform.feed_hour SET fingerprint = NULL, fingerprint_version = NULL",
    )
    for _ in range(2):
        with loaded.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.MACHINERY)
    owner = rows(loaded, "SELECT owner FROM ticks_platform.feed_lease")
    assert [name.count("(ended by an upgrade)") for (name,) in owner] == [1]
    with pytest.raises(LeaseLostError):
        make_loader(old, [price(timestamp=NOON)]).run()
    make_loader(take_lease("new"), [price(timestamp=NOON + 9)]).run()
    assert rows(loaded, "SELECT count(*) FROM stocks_real_time") == [(11,)]
    with loaded.autocommit() as cursor:
        assert audit.fill_fingerprints(cursor) == 3
    assert proof(loaded)[:2] == (3, 3)


@pytest.mark.full
def test_tables_of_earlier_states_are_brought_up(loaded: Database) -> None:
    """What was read without its prices is read again; functions have new arguments."""
    execute(
        loaded,
        "ALTER TABLE ticks_platform.proven_slice DROP COLUMN impossible",
        "CREATE TABLE ticks_platform.judged_prices (begins_at timestamptz)",
        "DROP TABLE ticks_platform.touched_slice, ticks_platform.unsealed_chunk",
        "DROP FUNCTION ticks_platform.chunk_identities(boolean)",
        "CREATE FUNCTION ticks_platform.chunk_identities() RETURNS integer LANGUAGE sql RETURN 1",
        "INSERT INTO ticks_platform.proven_slice (feed, begins_at, ends_at, rows, fingerprint, read_at) "
        "VALUES ('test', now() - INTERVAL '30 minutes', now() - INTERVAL '20 minutes', 7, 7, now())",
    )
    for _ in range(2):
        with loaded.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.HYPERTABLE, *sql_files.MACHINERY)
    assert rows(
        loaded, "SELECT to_regclass('ticks_platform.judged_prices'), count(*) FROM ticks_platform.proven_slice"
    ) == [(None, 0)]
    with loaded.autocommit() as cursor:
        unsealed = seals.check(cursor)
        assert audit.hours(cursor, everything=True).differing == 0
        assert (seals.stamp(cursor, unsealed), seals.follow(cursor)) == (0, 0)


@pytest.mark.full
def test_a_change_of_an_open_hour_is_found_after_a_declaration(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """What is left counts from then on, and not from when the hour is over."""
    at = int(time.time()) - 80
    make_loader(take_lease("one"), [price(timestamp=at + second, price=100 + second) for second in range(3)]).run()
    execute(database, f"DELETE FROM stocks_real_time WHERE time = to_timestamp({at})")
    assert compare(database).differing == 1
    with database.transaction() as cursor:
        assert gone.declare(cursor, "stocks_real_time", declared_by="me", reason="meant").rows == 1
    assert compare(database).differing == 0
    make_loader(take_lease("two"), [price(timestamp=at + 5)]).run()
    assert compare(database).differing == 0
    execute(database, f"UPDATE stocks_real_time SET price = 7 WHERE time = to_timestamp({at + 1})")
    assert compare(database).differing == 1


@pytest.mark.full
def test_a_change_is_declared(loaded: Database) -> None:
    execute(loaded, CHANGES["two swapped prices"])
    with loaded.transaction() as cursor:
        found = gone.declare(cursor, "stocks_real_time", declared_by="me", reason="they were swapped")
    assert found.lines(done=True) == [
        f"stocks_real_time: declared gone: 0 rows from {utc(NOON)} to {utc(NOON + HOUR)} UTC (test: 0); "
        "in 1 h ticks were changed: what is there counts"
    ]
    assert compare(loaded).differing == 0
    assert proof(loaded)[:2] == (3, 3)
    execute(loaded, CHANGES["a changed price"])
    assert compare(loaded).differing == 1


@pytest.mark.full
def test_rows_by_hand_have_no_fingerprint(loaded: Database) -> None:
    execute(
        loaded,
        f"INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES (to_timestamp({NOON}), 'TSLA', 1, 2)",
    )
    found = compare(loaded)
    assert (found.differing, found.by_hand) == (0, 1)


@pytest.mark.full
def test_on_a_server_that_hashes_otherwise_rows_are_counted(
    loaded: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    execute(
        loaded,
        "CREATE OR REPLACE FUNCTION ticks_platform.fingerprint_version() RETURNS smallint LANGUAGE sql IMMUTABLE "
        "PARALLEL SAFE RETURN NULL::smallint",
    )
    try:
        make_loader(take_lease("two"), [price(timestamp=NOON + 9), price(timestamp=NOON + 5 * HOUR)]).run()
        assert rows(loaded, "SELECT fingerprint IS NULL, loaded FROM ticks_platform.feed_hour ORDER BY hour") == [
            (False, 3),
            (True, 4),
            (False, 3),
            (True, 1),
        ]
        execute(loaded, CHANGES["a changed price"])
        assert compare(loaded).differing == 0
        execute(loaded, CHANGES["a deleted tick"])
        assert compare(loaded).differing == 1
    finally:
        with loaded.transaction() as cursor:
            sql_files.apply(cursor, "schema/fingerprint_version.sql")
