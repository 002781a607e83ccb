"""Candles are compared with their ticks once, and again when they or their ticks have changed."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from ticks_platform.ingestion import audit
from ticks_platform.timescale import quality, seals
from ticks_platform.timescale.candles import candle_proof, candles, reconciliation
from ticks_platform.timescale.candles.candles import CANDLES, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.candles.reconciliation import Reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh, tamper
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows

NOON = int(time.time()) // 86_400 * 86_400 - 86_400 // 2
"""Noon of yesterday, UTC."""

PLACES = {"open": int(time.time()) // 60 * 60 - 180, "proven": NOON}
"""Minutes of which the candles are closed."""


def execute(database: Database, statement: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement)


def load(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, *at: int, symbols: tuple[str, ...] = ("AAPL",)
) -> None:
    """Three ticks a second apart from each of these times."""
    frames = [
        price(symbol, timestamp=one + second, price=100 + second)
        for one in at
        for second in range(3)
        for symbol in symbols
    ]
    make_loader(take_lease(f"owner {time.monotonic_ns()}"), frames).run()


def reconcile(database: Database) -> Reconciliation:
    with database.autocommit() as cursor:
        return reconciliation.reconcile(cursor, fresh=timedelta(minutes=6))


def minutes_pass(database: Database, minutes: int = 7) -> None:
    execute(
        database, f"UPDATE ticks_platform.proven_candles SET looked_at = looked_at - make_interval(mins => {minutes})"
    )


@pytest.fixture(params=[pytest.param("open", marks=pytest.mark.full), "proven"])
def proven(
    request: pytest.FixtureRequest, database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> Database:
    """One candle, which was compared with its ticks."""
    load(database, take_lease, make_loader, PLACES[request.param])
    refresh(database)
    found = reconcile(database)
    assert (found.found.candles, found.found.differing) == (1, 0)
    assert rows(database, "SELECT sum(candles)::int FROM ticks_platform.proven_candles") == [(1,)]
    return database


CHANGES = {
    "a changed candle": "UPDATE {table} SET close = 100.5",
    "a deleted candle": "DELETE FROM {table}",
    "an added candle": (
        "INSERT INTO {table} (bucket, symbol, open, high, low, close, tick_count) "
        "SELECT bucket, 'GHOST', 1, 1, 1, 1, 1 FROM {table}"
    ),
}


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=() if each == "a changed candle" else pytest.mark.full) for each in CHANGES]
)
def test_a_proven_candle_that_was_changed_is_found_and_healed(proven: Database, what: str) -> None:
    assert tamper(proven, CHANGES[what]) == 1
    minutes_pass(proven)
    found = reconcile(proven)
    assert (found.wrong.differing, found.healed) == (1, 1)
    found = reconcile(proven)
    assert (found.found.candles, found.found.differing) == (1, 0)
    assert rows(proven, "SELECT symbol, close FROM one_minute_candle") == [("AAPL", 102)]


@pytest.mark.full
def test_a_candle_is_compared_once(proven: Database) -> None:
    """Its ticks are not read again; that they are what was loaded is for the account to say."""
    execute(proven, "UPDATE stocks_real_time SET price = 500 WHERE price = 102")
    minutes_pass(proven)
    found = reconcile(proven)
    assert (found.found.candles, found.found.differing) == (1, 0)
    assert reconcile(proven).found.candles == 0, "nor is it looked at again at once"
    execute(proven, "DELETE FROM ticks_platform.proven_candles")
    assert reconcile(proven).late == 1


@pytest.mark.full
def test_a_candle_that_was_refreshed_is_compared_again(proven: Database) -> None:
    before = rows(proven, "SELECT hash FROM ticks_platform.proven_candles WHERE candles > 0")
    execute(proven, "UPDATE stocks_real_time SET price = 500 WHERE price = 102")
    refresh(proven)
    minutes_pass(proven)
    assert reconcile(proven).found.differing == 0
    after = rows(proven, "SELECT hash FROM ticks_platform.proven_candles WHERE candles > 0")
    assert len(after) == 1
    assert after != before
    minutes_pass(proven)
    assert reconcile(proven).found.candles == 1


@pytest.mark.full
def test_late_ticks_make_their_minutes_due(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    """Where no policy refreshes them."""
    load(database, take_lease, make_loader, NOON, NOON + 600)
    refresh(database)
    assert reconcile(database).found[:2] == (2, 0)
    load(database, take_lease, make_loader, NOON + 30, NOON + 300)
    found = reconcile(database)
    assert (found.late, found.wrong.differing) == (2, 0)
    assert reconcile(database).found.differing == 0
    assert rows(database, "SELECT tick_count::int FROM one_minute_candle ORDER BY bucket") == [(6,), (3,), (3,)]


@pytest.mark.full
def test_late_ticks_are_seen_by_the_slices_that_were_read(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """Of an hour of many ticks they are not counted again."""
    begin = int(time.time()) // 3600 * 3600 - 3 * 3600

    def prove() -> None:
        with database.autocommit() as cursor:
            assert audit.hours(cursor, sliced=0).differing == 0

    load(database, take_lease, make_loader, begin, begin + 1800, begin + 3000)
    refresh(database)
    prove()
    assert reconcile(database).found[:2] == (3, 0)
    assert rows(database, "SELECT count(*)::int FROM ticks_platform.proven_slice") == [(6,)]
    load(database, take_lease, make_loader, begin + 1830, begin + 2500)
    assert reconcile(database).found.differing == 0, "they are not proven yet"
    prove()
    found = reconcile(database)
    assert (found.late, found.wrong.differing) == (2, 0)
    assert reconcile(database).found.differing == 0
    assert rows(database, "SELECT tick_count::int FROM one_minute_candle ORDER BY bucket") == [(3,), (6,), (3,), (3,)]


@pytest.mark.full
def test_in_hours_of_many_ticks_minutes_are_compared_when_late_ones_have_come(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_proof, "_AT_ONCE", 0)
    minute = int(time.time()) // 60 * 60
    load(database, take_lease, make_loader, minute - 300, minute - 60)
    refresh(database)
    assert reconcile(database).found[:2] == (1, 0)
    monkeypatch.setattr(candle_proof, "_AT_ONCE", 1_000_000)
    assert reconcile(database).found[:2] == (1, 0)


@pytest.mark.full
def test_a_candle_of_a_sealed_chunk_is_looked_at_once_a_day(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    load(database, take_lease, make_loader, NOON)
    refresh(database)
    assert reconcile(database).found[:2] == (1, 0)
    execute(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    with database.autocommit() as cursor:
        unsealed = seals.check(cursor)
        assert audit.hours(cursor, everything=True).differing == 0
        assert seals.stamp(cursor, unsealed) == 1
    assert tamper(database, "UPDATE {table} SET close = 100.5") == 1
    minutes_pass(database)
    assert reconcile(database).found.differing == 0
    minutes_pass(database, 20 * 60)
    assert reconcile(database).healed == 1
    assert rows(database, "SELECT close FROM one_minute_candle") == [(102,)]


@pytest.mark.full
def test_nothing_is_compared_that_is_not_materialized(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    load(database, take_lease, make_loader, NOON, NOON + 600)
    with database.autocommit() as cursor:
        cursor.execute(
            f"CALL refresh_continuous_aggregate('one_minute_candle', to_timestamp({NOON}), to_timestamp({NOON + 60}))"
        )
    assert reconcile(database).found[:2] == (1, 0)
    until = "SELECT extract(epoch FROM max(ends_at))::bigint FROM ticks_platform.proven_candles"
    assert rows(database, until) == [(NOON + 60,)]
    with database.autocommit() as cursor:
        assert candle_proof.until(cursor) is None, "its hour is not proven as a whole"
        for candle in CANDLES:
            candles.refresh_history(cursor, candle)
    assert reconcile(database).found[:2] == (1, 0)
    with database.autocommit() as cursor:
        found = candle_proof.until(cursor)
    assert found is not None
    assert found.timestamp() >= NOON + 3600


@pytest.mark.full
def test_what_is_known_is_joined_and_adds_up(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    load(database, take_lease, make_loader, *(NOON + minute * 60 for minute in range(10)))
    refresh(database)
    reconcile(database)
    whole = "SELECT begins_at, ends_at, candles::int, hash FROM ticks_platform.proven_candles WHERE candles > 0"
    (before,) = rows(database, whole)
    assert before[2] == 10
    with database.autocommit() as cursor:
        table, _ = candle_proof.materialized(cursor, ONE_MINUTE)
        cursor.execute("DELETE FROM ticks_platform.proven_candles WHERE candles > 0")
    for first, last in ((0, 3), (3, 4), (4, 10)):
        execute(
            database,
            f"INSERT INTO ticks_platform.proven_candles SELECT to_timestamp({NOON + first * 60}), "
            f"to_timestamp({NOON + last * 60}), count(*), sum(hash_record_extended((bucket, symbol, open, high, low, "
            "close, day_volume, volume, tick_count, price_count), 0)), now(), now() "
            f"FROM {table.as_string(None)} WHERE bucket >= to_timestamp({NOON + first * 60}) "
            f"AND bucket < to_timestamp({NOON + last * 60})",
        )
    minutes_pass(database)
    assert reconcile(database).found[:2] == (10, 0)
    assert rows(database, whole) == [before]


@pytest.mark.full
def test_hours_that_were_found_right_are_read_again_when_they_change(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """Neither hours nor what minutes have to be; by the schedule."""

    def levels() -> tuple[int, int]:
        with database.autocommit() as cursor:
            return reconciliation.reconcile_levels(cursor, ONE_HOUR, follow=True).found[:2]

    def broken() -> tuple[int, int]:
        file, window = "queries/checks/ohlc_invariants.sql", timedelta(days=7)
        with database.autocommit() as cursor:
            return quality.find_new(cursor, file, ONE_MINUTE.name, {"days": 7}, window=window)[:2]

    load(database, take_lease, make_loader, NOON, NOON + 3600, NOON + 7200)
    refresh(database)
    assert (levels(), broken()) == ((3, 0), (3, 0))
    judged = "SELECT judged_by, count(*)::int FROM ticks_platform.judged_candles GROUP BY 1 ORDER BY 1"
    assert rows(database, judged) == [], "their minutes are not proven"
    assert reconcile(database).found[:2] == (3, 0)
    for _ in range(2):
        assert (levels(), broken()) == ((3, 0), (3, 0))
        assert [name for name, hours in rows(database, judged) if hours >= 3] == [
            "candles_equal_finer",
            "queries/checks/ohlc_invariants.sql",
        ]
    # By an hour's own hash.
    assert (
        tamper(database, f"UPDATE {{table}} SET high = 7 WHERE bucket = to_timestamp({NOON})", "one_hour_candle") == 1
    )
    assert levels() == (3, 1)
    assert levels() == (3, 0)
    # By that of its minutes, once it is known that one has changed.
    assert tamper(database, f"UPDATE {{table}} SET low = -1 WHERE bucket = to_timestamp({NOON})") == 1
    assert (levels(), broken()) == ((3, 0), (3, 0))
    execute(database, "UPDATE ticks_platform.proven_candles SET hash = hash + 1 WHERE candles > 0")
    assert broken() == (3, 1)
    assert levels() == (3, 1)
