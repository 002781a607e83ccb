"""What is changed is found: in open and proven hours at the next reading, in sealed chunks by the daily one."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2.errors
import pytest

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.audit import Hours
from ticks_platform.timescale import gone, seals, sql_files
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

HOUR = 3600
NOON = int(time.time()) // 86_400 * 86_400 - 86_400 // 2
"""Noon of yesterday, UTC."""

CHANGES = {
    "a changed price": "UPDATE stocks_real_time SET price = price + 0.01 WHERE time = {at} AND symbol = 'AAPL'",
    "two swapped prices": (
        "UPDATE stocks_real_time SET price = 202 - price "
        "WHERE time IN ({at}, {at} + INTERVAL '2 seconds') AND symbol = 'AAPL'"
    ),
    "a deleted tick": "DELETE FROM stocks_real_time WHERE time = {at} AND symbol = 'AAPL'",
    "an added tick": (
        "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) SELECT time, symbol, price, "
        "gen_random_uuid(), feed, received_at FROM stocks_real_time WHERE time = {at} AND symbol = 'AAPL'"
    ),
}
FIRST = "two swapped prices"


def execute(database: Database, *statements: str) -> None:
    with database.transaction() as cursor:
        for statement in statements:
            cursor.execute(statement)


def change(database: Database, what: str, at: int) -> None:
    execute(database, CHANGES[what].format(at=f"to_timestamp({at})"))


def compare(database: Database, **options: Any) -> Hours:
    with database.autocommit() as cursor:
        return audit.hours(cursor, **options)


def by_schedule(database: Database) -> Hours:
    return compare(database, fresh=timedelta(minutes=6), patience=True)


def daily(database: Database) -> Hours:
    """What the daily check reads, and seals."""
    with database.autocommit() as cursor:
        unsealed = seals.check(cursor)
        found = audit.hours(cursor, everything=True)
        seals.stamp(cursor, unsealed)
    return found


def sealed(database: Database) -> int:
    with database.autocommit() as cursor:
        return seals.count(cursor)


def compress(database: Database) -> None:
    with database.autocommit() as cursor:
        cursor.execute(
            "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass, if_not_compressed => true) "
            "FROM timescaledb_information.chunks WHERE hypertable_name = 'stocks_real_time' "
            f"AND range_end <= to_timestamp({NOON + 12 * HOUR})"
        )


def read_long_ago(database: Database) -> None:
    """As after six minutes."""
    for table, column in (("proven_hour", "proven_at"), ("proven_slice", "read_at")):
        execute(database, f"UPDATE ticks_platform.{table} SET {column} = {column} - INTERVAL '7 minutes'")


def ticks(at: int) -> list[bytes]:
    """Three ticks a second apart of two symbols."""
    return [
        price(symbol, timestamp=at + second, price=base + second)
        for second in range(3)
        for symbol, base in (("AAPL", 100), ("MSFT", 300))
    ]


Load = Callable[..., None]


@pytest.fixture
def load(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> Load:
    def load(*at: int) -> None:
        make_loader(take_lease(f"owner {time.monotonic_ns()}"), [each for one in at for each in ticks(one)]).run()

    return load


@pytest.fixture
def loaded(database: Database, load: Load) -> Database:
    """Six ticks in each of the hours 11, 12 and 13 of yesterday."""
    load(*(NOON + HOUR * hour for hour in (-1, 0, 1)))
    return database


@pytest.fixture
def sealed_database(loaded: Database) -> Database:
    """The same, in one chunk, which is sealed."""
    assert by_schedule(loaded).differing == 0
    compress(loaded)
    assert daily(loaded).differing == 0
    assert sealed(loaded) == 1
    return loaded


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=() if each == FIRST else pytest.mark.full) for each in CHANGES]
)
@pytest.mark.parametrize("is_over", [False, True], ids=["open", "proven"])
def test_a_change_is_found_at_the_next_reading(database: Database, load: Load, what: str, *, is_over: bool) -> None:
    at = NOON if is_over else int(time.time()) // 10 * 10 - 80
    load(at)
    assert by_schedule(database).differing == 0
    change(database, what, at)
    read_long_ago(database)
    found = by_schedule(database)
    assert found.differing == 1
    (problem,) = [each for each in found.problems() if each.startswith("feed")]
    assert time.strftime("hour %Y-%m-%d %H:00 UTC", time.gmtime(at)) in problem


@pytest.mark.full
def test_each_tick_of_an_open_hour_is_read_once(database: Database, load: Load) -> None:
    at = int(time.time()) // 10 * 10 - 80
    load(at)
    assert by_schedule(database).differing == 0
    known = rows(database, "SELECT rows::int, begins_at, ends_at FROM ticks_platform.proven_slice ORDER BY begins_at")
    assert sum(number for number, *_ in known) == 6
    change(database, "a changed price", at)
    assert by_schedule(database).differing == 0, "it is not read again yet"
    # A tick of the last minute is new; an earlier one makes the hour read as a whole.
    load(int(time.time()))
    assert by_schedule(database).differing == 0
    load(at + 3)
    assert by_schedule(database).differing == 1


@pytest.mark.full
def test_late_ticks_make_ten_minutes_of_an_hour_due(database: Database, load: Load) -> None:
    """In an hour of many ticks that is over; what else is in it has its turn."""
    begin = int(time.time()) // HOUR * HOUR - 3 * HOUR
    load(begin + 10, begin + 1810)
    assert compare(database, sliced=0).differing == 0
    slices = "SELECT sum(rows)::int, count(*)::int, max(ends_at - begins_at) FROM ticks_platform.proven_slice"
    assert rows(database, slices) == [(12, 6, timedelta(minutes=10))]
    change(database, "two swapped prices", begin + 10)
    load(begin + 1830)
    assert rows(database, "SELECT begins_at FROM ticks_platform.touched_slice") == [
        (datetime.fromtimestamp(begin + 1800, timezone.utc),)
    ]
    found = compare(database, sliced=0, fresh=timedelta(minutes=6))
    assert (found.compared, found.stored, found.differing) == (1, 18, 0)
    assert rows(database, "SELECT count(*) FROM ticks_platform.touched_slice") == [(0,)]
    assert rows(database, slices) == [(18, 6, timedelta(minutes=10))]
    change(database, "a changed price", begin + 1830)
    load(begin + 1840)
    assert compare(database, sliced=0, fresh=timedelta(minutes=6)).differing == 1


@pytest.mark.full
def test_slices_that_are_not_what_the_hour_is_give_way(database: Database, load: Load) -> None:
    """When its turn comes, an hour is read as a whole; its slices stay only if they add up to it."""
    begin = int(time.time()) // HOUR * HOUR - 3 * HOUR
    load(begin + 10, begin + 1810)
    assert compare(database, sliced=0).differing == 0
    read_long_ago(database)
    assert by_schedule(database).differing == 0
    slices = "SELECT count(*)::int, min(read_at) > now() - INTERVAL '5 minutes' FROM ticks_platform.proven_slice"
    assert rows(database, slices) == [(6, True)]
    execute(database, "UPDATE ticks_platform.proven_slice SET rows = rows + 1 WHERE rows > 0")
    read_long_ago(database)
    assert by_schedule(database).differing == 0
    assert rows(database, slices) == [(1, True)]
    load(begin + 20)
    # A note of late ticks that is missing costs the reading of the whole hour.
    execute(database, "DELETE FROM ticks_platform.touched_slice")
    found = by_schedule(database)
    assert (found.stored, found.differing) == (18, 0)


def test_a_late_tick_while_its_slice_is_read_is_no_false_alarm(
    database: Database, load: Load, server_url: str | None
) -> None:
    """Neither stored before the reading nor after it: its transaction ends when the slice has been noted."""
    begin = int(time.time()) // HOUR * HOUR - 3 * HOUR
    load(begin + 10)
    ready, go = threading.Event(), threading.Event()

    def late() -> None:
        with database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) SELECT time, symbol, "
                "price, gen_random_uuid(), feed, received_at FROM stocks_real_time WHERE symbol = 'AAPL' LIMIT 1 "
                "RETURNING ticks_platform.tick_hash(tick_id, price, size, updates)"
            )
            ((found,),) = cursor.fetchall()
            cursor.execute(
                "UPDATE ticks_platform.feed_hour SET loaded = loaded + 1, fingerprint = fingerprint + %s", (found,)
            )
            cursor.execute(f"INSERT INTO ticks_platform.touched_slice VALUES (to_timestamp({begin}))")
            ready.set()
            # The embedded database has one session, so that nobody reads meanwhile.
            if server_url is not None:
                assert go.wait(60)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loading = pool.submit(late)
        assert ready.wait(60)
        assert by_schedule(database).differing == 0
        go.set()
        loading.result()
    found = by_schedule(database)
    assert (found.stored if found.compared else 7, found.differing) == (7, 0)
    assert rows(database, "SELECT rows::int FROM ticks_platform.proven_hour") == [(7,)]


@pytest.mark.full
def test_what_is_compressed_is_sealed_by_the_schedule(loaded: Database) -> None:
    """Once all of it was read after that, and has not changed."""

    def follow() -> int:
        with loaded.autocommit() as cursor:
            return seals.follow(cursor)

    assert by_schedule(loaded).differing == 0
    compress(loaded)
    assert [follow(), follow()] == [0, 0], "it was proven before it was compressed"
    change(loaded, "two swapped prices", NOON)
    read_long_ago(loaded)
    assert by_schedule(loaded).differing == 1
    assert follow() == 0
    change(loaded, "two swapped prices", NOON)
    compress(loaded)
    assert follow() == 0
    read_long_ago(loaded)
    execute(loaded, "UPDATE ticks_platform.wrong_hour SET retry_at = now()")
    assert by_schedule(loaded).differing == 0
    assert follow() == 1
    read_long_ago(loaded)
    assert by_schedule(loaded).compared == 0, "it is sealed"
    assert rows(loaded, "SELECT count(*) FROM ticks_platform.unsealed_chunk") == [(1,)]
    assert (follow(), sealed(loaded)) == (0, 1)
    assert rows(loaded, "SELECT count(*) FROM ticks_platform.unsealed_chunk") == [(0,)]


@pytest.mark.full
def test_an_hour_is_proven_by_what_was_read_of_it(database: Database, load: Load) -> None:
    """The slices of an hour that is over, as if it had been open: it is proven without reading them again."""
    load(NOON, NOON + 1800)
    execute(
        database,
        "INSERT INTO ticks_platform.proven_slice "
        f"SELECT feed, to_timestamp({NOON}), to_timestamp({NOON + 1200}), count(*), "
        "sum(ticks_platform.tick_hash(tick_id, price, size, updates)), now() - INTERVAL '5 minutes' "
        f"FROM stocks_real_time WHERE time < to_timestamp({NOON + 1200}) GROUP BY feed",
    )
    change(database, "a changed price", NOON)
    assert by_schedule(database).differing == 0
    assert rows(database, "SELECT count(*) FROM ticks_platform.proven_slice") == [(0,)]
    assert rows(database, "SELECT rows::int, now() - proven_at > '4 minutes' FROM ticks_platform.proven_hour") == [
        (12, True)
    ]
    read_long_ago(database)
    assert by_schedule(database).differing == 1


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=() if each == FIRST else pytest.mark.full) for each in CHANGES]
)
def test_a_change_of_a_sealed_chunk_is_found_by_the_daily_check(sealed_database: Database, what: str) -> None:
    change(sealed_database, what, NOON)
    assert daily(sealed_database).differing == 1
    assert sealed(sealed_database) == 0
    compress(sealed_database)
    assert daily(sealed_database).differing == 1
    assert sealed(sealed_database) == 0, "nothing wrong is sealed"


def test_an_edit_of_the_compressed_relation_is_found_by_the_daily_check(sealed_database: Database) -> None:
    """By a superuser, under the database's own feet: the prices of one symbol become those of another."""
    ((relation,),) = rows(sealed_database, "SELECT relation FROM ticks_platform.sealed_chunk")
    execute(
        sealed_database,
        f"UPDATE {relation} SET price = (SELECT price FROM {relation} AS other WHERE other.symbol = 'MSFT' LIMIT 1) "
        "WHERE symbol = 'AAPL'",
    )
    assert rows(sealed_database, "SELECT DISTINCT price::int FROM stocks_real_time ORDER BY 1") == [
        (300,),
        (301,),
        (302,),
    ]
    assert by_schedule(sealed_database).differing == 0
    assert daily(sealed_database).differing == 3
    assert sealed(sealed_database) == 0


@pytest.mark.full
def test_what_is_sealed_is_not_read(sealed_database: Database) -> None:
    read_long_ago(sealed_database)
    assert by_schedule(sealed_database) == Hours(0, 0, 0, 0, [], [])
    before = rows(sealed_database, "SELECT proven_at FROM ticks_platform.proven_hour ORDER BY hour")
    found = daily(sealed_database)
    assert (found.compared, found.stored, found.differing) == (3, 18, 0)
    assert rows(sealed_database, "SELECT proven_at FROM ticks_platform.proven_hour ORDER BY hour") == before
    assert compare(sealed_database, oldest=True, budget=0).compared == 1, "but a thirtieth, in turn"


@pytest.mark.full
def test_a_chunk_that_is_compressed_again_is_sealed_again(sealed_database: Database, load: Load) -> None:
    before = rows(sealed_database, "SELECT identity FROM ticks_platform.sealed_chunk")
    load(NOON + 10)
    found = by_schedule(sealed_database)
    assert (found.compared, found.stored, found.differing) == (1, 12, 0)
    assert daily(sealed_database).differing == 0
    assert sealed(sealed_database) == 0, "there are rows beside the batches"
    compress(sealed_database)
    assert daily(sealed_database).differing == 0
    assert sealed(sealed_database) == 1
    assert rows(sealed_database, "SELECT identity FROM ticks_platform.sealed_chunk") != before


@pytest.mark.full
def test_a_chunk_that_changes_while_it_is_read_is_not_sealed(loaded: Database) -> None:
    compress(loaded)
    with loaded.autocommit() as cursor:
        unsealed = seals.check(cursor)
        assert audit.hours(cursor, everything=True).differing == 0
        change(loaded, "a changed price", NOON)
        assert seals.stamp(cursor, unsealed) == 0
        # Nor one of which an hour was proven before.
        unsealed = seals.check(cursor)
        assert seals.stamp(cursor, unsealed) == 0


@pytest.mark.full
def test_a_chunk_with_an_open_hour_is_not_sealed(database: Database, load: Load) -> None:
    load(int(time.time()) - 30)
    execute(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    assert daily(database).differing == 0
    assert sealed(database) == 0


@pytest.mark.full
def test_retention_drops_seals_with_their_chunks(sealed_database: Database) -> None:
    with sealed_database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.RETENTION)
    with sealed_database.autocommit() as cursor:
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', NULL, now() - INTERVAL '1 hour')")
        config = f'{{"hypertable": "stocks_real_time", "drop_after": "{time.time() - NOON - 12 * HOUR - 60} seconds"}}'
        cursor.execute("CALL ticks_platform.drop_old_chunks(1, %s)", (config,))
    assert rows(sealed_database, "SELECT count(*) FROM stocks_real_time") == [(0,)]
    assert sealed(sealed_database) == 0
    assert daily(sealed_database).differing == 0


@pytest.mark.full
def test_a_chunk_that_is_dropped_by_hand_has_no_seal(sealed_database: Database) -> None:
    execute(sealed_database, f"SELECT drop_chunks('stocks_real_time', to_timestamp({NOON + 12 * HOUR}))")
    assert by_schedule(sealed_database).differing == 3
    assert daily(sealed_database).differing == 3
    assert sealed(sealed_database) == 0


def test_a_wrong_hour_is_told_and_leaves_the_budget_to_others(database: Database, load: Load) -> None:
    load(NOON)
    change(database, "a deleted tick", NOON)
    assert compare(database, budget=6, patience=True).differing == 1
    load(NOON - HOUR)
    # Newer changes come first, so the wrong hour is the last one to be loaded.
    execute(
        database,
        "UPDATE ticks_platform.feed_hour SET changed_at = changed_at + INTERVAL '1 minute' "
        f"WHERE hour = to_timestamp({NOON})",
    )
    found = compare(database, budget=6, patience=True)
    assert (found.compared, found.stored, found.differing) == (1, 6, 1)
    assert [(row["loaded"], row["stored"]) for row in found.examples] == [(6, 5)]
    assert found.missing[0]["rows"] == 1
    retry = "SELECT tries, round(extract(epoch FROM retry_at - now()) / 60)::int FROM ticks_platform.wrong_hour"
    assert rows(database, retry) == [(1, 8)]
    for tries, minutes in ((2, 16), (3, 32)):
        execute(database, "UPDATE ticks_platform.wrong_hour SET retry_at = now()")
        assert compare(database, budget=6, patience=True).differing == 1
        assert rows(database, retry) == [(tries, minutes)]
    assert compare(database).differing == 1, "whoever asks does not wait"


@pytest.mark.full
def test_a_wrong_hour_that_is_declared_or_right_again_is_not_told(database: Database, load: Load) -> None:
    load(NOON, NOON + HOUR)
    change(database, "a deleted tick", NOON)
    change(database, "two swapped prices", NOON + HOUR)
    assert compare(database).differing == 2
    assert by_schedule(database).differing == 2
    with database.transaction() as cursor:
        gone.declare(cursor, "stocks_real_time", declared_by="me", reason="meant")
    assert by_schedule(database).differing == 0
    with database.autocommit() as cursor:
        assert audit.fill_fingerprints(cursor) == 0
    assert rows(database, "SELECT count(*) FROM ticks_platform.wrong_hour") == [(0,)]
    change(database, "an added tick", NOON + HOUR)
    assert compare(database).differing == 1
    execute(database, "DELETE FROM stocks_real_time WHERE substr(tick_id::text, 15, 1) = '4'")
    assert compare(database).differing == 0
    change(database, "a changed price", NOON + HOUR)
    assert compare(database).differing == 1
    execute(database, "UPDATE stocks_real_time SET price = round(price) WHERE price <> round(price)")
    assert compare(database).differing == 0
    assert rows(database, "SELECT count(*) FROM ticks_platform.wrong_hour") == [(0,)]


@pytest.mark.full
def test_checks_beside_each_other_and_a_loader_find_nothing(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """Late ticks, new ticks and proofs at the same time: what was read of an hour never stands for what it is now."""
    lease = take_lease("one")
    now = int(time.time())
    done = threading.Event()

    def check() -> list[str]:
        found: list[str] = []
        while not done.is_set():
            found += by_schedule(database).problems()
            with database.autocommit() as cursor:
                found += [str(each) for each in reconciliation.reconcile(cursor).wrong.examples]
        return found

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        checks = [pool.submit(check) for _ in range(2)]
        try:
            for number in range(12):
                frames = [
                    price(f"S{number}", timestamp=at)
                    for at in (NOON + number, NOON + HOUR + 300 * number, now - 600 + number, now - 100 - number, now)
                ]
                make_loader(lease, frames).run()
        finally:
            done.set()
        assert [each.result() for each in checks] == [[], []]
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(60,)]
    assert (by_schedule(database).differing, daily(database).differing) == (0, 0)


@pytest.mark.full
def test_a_proof_that_was_cut_off_is_done_again(loaded: Database) -> None:
    with loaded.autocommit() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM count(*) FROM generate_series(1, 10000000000); RETURN NEW; END$$; "
            "CREATE TRIGGER slow BEFORE INSERT ON ticks_platform.proven_hour EXECUTE FUNCTION pg_temp.slow(); "
            "SET statement_timeout = '1 s'"
        )
        with pytest.raises(psycopg2.errors.QueryCanceled):
            audit.hours(cursor)
    execute(loaded, "DROP TRIGGER IF EXISTS slow ON ticks_platform.proven_hour")
    assert rows(loaded, "SELECT count(*) FROM ticks_platform.proven_hour") == [(0,)]
    assert by_schedule(loaded).differing == 0
    assert rows(loaded, "SELECT count(*) FROM ticks_platform.proven_hour") == [(3,)]


@pytest.mark.full
def test_what_was_read_while_the_clock_was_ahead_is_read_again(loaded: Database, load: Load) -> None:
    load(int(time.time()) - 80)
    assert by_schedule(loaded).differing == 0
    change(loaded, "a deleted tick", NOON)
    read_long_ago(loaded)
    assert by_schedule(loaded).differing == 1
    for table, columns in (
        ("proven_hour", "proven_at"),
        ("proven_slice", "read_at"),
        ("wrong_hour", "retry_at"),
    ):
        execute(loaded, f"UPDATE ticks_platform.{table} SET {columns} = {columns} + INTERVAL '1 year'")
    assert by_schedule(loaded).differing == 1
    ahead = "SELECT count(*) FROM ticks_platform.{} WHERE {} > now() + INTERVAL '1 day'"
    assert rows(loaded, ahead.format("proven_slice", "read_at")) == [(0,)]
    assert rows(loaded, ahead.format("wrong_hour", "retry_at")) == [(0,)]
    # The wrong one is the only one that is not proven again.
    assert rows(loaded, ahead.format("proven_hour", "proven_at")) == [(1,)]
