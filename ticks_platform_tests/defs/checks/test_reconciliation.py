"""Candles and their ticks: the check passes on good candles, catches each that is falsified, and heals it."""

from __future__ import annotations

import re
from collections.abc import Callable

import dagster as dg
import pytest

from ticks_platform.timescale.candles import candles, reconciliation
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import (
    ERROR,
    WARN,
    CheckOne,
    change_hours,
    examples,
    insert,
    number,
    refresh,
    tamper,
)


def test_candles_are_those_of_their_ticks(database: Database, check_one: CheckOne) -> None:
    empty = check_one("candles_equal_ticks")
    assert empty.passed
    assert number(empty, "candles") == 0
    insert(database, 100, 103, 99, 101, "NaN", ago=20, every=0.25)
    insert(database, 100, 103, 99, 101, ago=20, every=30, symbol="MSFT")
    assert check_one("candles_equal_ticks").passed, "computed live"
    refresh(database)
    found = check_one("candles_equal_ticks")
    assert found.passed
    assert number(found, "candles") == 3
    assert number(found, "differing") == 0
    assert "examples" not in found.metadata


@pytest.mark.parametrize("candle", [ONE_HOUR, ONE_DAY], ids=["hour", "day"])
def test_candles_are_those_of_the_finer_ones(database: Database, check_one: CheckOne, candle: candles.Candle) -> None:
    assert number(check_one("candles_equal_finer", candle.name), "candles") == 0
    insert(database, 100, 103, 99, 101, "NaN", ago=60 * 72, every=1800, day_volume="number * 7")
    insert(database, 100, 103, 99, 101, ago=60 * 24 * 10)
    assert check_one("candles_equal_finer", candle.name).passed, "computed live"
    refresh(database)
    found = check_one("candles_equal_finer", candle.name)
    assert found.passed
    assert 0 < number(found, "candles") <= 3, "what is older than the window is not read"
    assert number(found, "differing") == 0


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE {table} SET close = 100.5", "the candle is another one"),
        pytest.param("UPDATE {table} SET open = 'NaN'", "the candle is another one", marks=pytest.mark.full),
        pytest.param("UPDATE {table} SET tick_count = 3", "the candle is another one", marks=pytest.mark.full),
        pytest.param("UPDATE {table} SET price_count = 3", "the candle is another one", marks=pytest.mark.full),
        ("DELETE FROM {table}", "there is no candle"),
        (
            "INSERT INTO {table} (bucket, symbol, open, high, low, close, tick_count) "
            "SELECT bucket, 'GHOST', 1, 1, 1, 1, 1 FROM {table}",
            "there is nothing to make it of",
        ),
    ],
    ids=["close", "open", "count", "prices", "lost", "made up"],
)
@pytest.mark.parametrize("changed", [False, True], ids=["recent", "long ago, changed lately"])
def test_falsified_candle_is_caught_and_healed(
    database: Database, check_one: CheckOne, statement: str, problem: str, changed: bool
) -> None:
    """Written by hand into what is materialized, which no ordinary refresh repairs."""
    insert(database, 100, 103, 99, 101, ago=60 * 24 * 40 if changed else 20)
    if changed:
        change_hours(database)
    refresh(database)
    assert tamper(database, statement) == 1
    found = check_one("candles_equal_ticks")
    assert (found.passed, found.severity) == (False, WARN)
    assert found.description == "1 candles were wrong; a forced refresh healed them"
    assert (number(found, "differing"), number(found, "healed"), number(found, "not healed")) == (1, 1, 0)
    (row,) = examples(found)
    assert row["problem"] == problem
    assert re.fullmatch(rf"ticks explain {row['symbol']} \d{{4}}-\d\d-\d\dT\d\d:\d\dZ", row["explain"])
    assert check_one("candles_equal_ticks").passed
    with database.transaction() as cursor:
        cursor.execute("SELECT symbol, open, high, low, close, tick_count, price_count FROM one_minute_candle")
        assert cursor.fetchall() == [("AAPL", 100, 103, 99, 101, 4, 4)]


def test_the_check_and_the_candle_agree_on_what_a_tick_may_change(database: Database, check_one: CheckOne) -> None:
    """They say it in different ways, so that a mistake in one of them shows."""
    for updates in range(32):
        insert(database, 100, 103, 98, 99, 101, ago=20, day_volume="number * 7", symbol=f"BITS{updates}")
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET size = 5")
        # Alone in its minute, and beside a tick that may change everything.
        for prices in ("100, 103, 98, 99, 101", "100"):
            cursor.execute(f"UPDATE stocks_real_time SET updates = substr(symbol, 5)::int WHERE price IN ({prices})")
            assert reconciliation.reconcile(cursor).found[:2] == (32, 0)
            cursor.execute("UPDATE stocks_real_time SET updates = NULL")
    refresh(database)
    assert check_one("candles_equal_finer", ONE_HOUR.name).passed


def test_every_level_made_of_falsified_minutes_is_healed_with_them(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 103, 99, 101, ago=60 * 24 * 40)
    change_hours(database)
    refresh(database)
    tamper(database, "UPDATE {table} SET high = 1000")
    # They spread with the next refreshes.
    refresh(database)
    with database.transaction() as cursor:
        cursor.execute("SELECT high FROM one_hour_candle UNION ALL SELECT high FROM one_day_candle")
        assert cursor.fetchall() == [(1000,), (1000,)]
    assert number(check_one("candles_equal_ticks"), "healed") == 1
    assert check_one("candles_equal_finer", "one_hour_candle").passed
    with database.transaction() as cursor:
        cursor.execute("SELECT high FROM one_hour_candle UNION ALL SELECT high FROM one_day_candle")
        assert cursor.fetchall() == [(103,), (103,)]


def test_the_other_checks_of_a_run_see_what_one_of_them_heals(
    database: Database, run_job: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    insert(database, 100, 103, 99, 101, ago=20)
    refresh(database)
    tamper(database, "UPDATE {table} SET high = 1")
    evaluations = run_job("check_quality").get_asset_check_evaluations()
    failed = {(found.asset_key.to_user_string(), found.check_name) for found in evaluations if not found.passed}
    assert (ONE_MINUTE.name, "ohlc_invariants") in failed
    # In the first minutes of an hour, the check of the hour before is the first to see it, and heals it from below.
    assert failed & {(ONE_MINUTE.name, "candles_equal_ticks"), (ONE_HOUR.name, "candles_equal_finer")}
    with database.transaction() as cursor:
        cursor.execute("SELECT high FROM one_minute_candle")
        assert cursor.fetchall() == [(103,)]


def test_late_ticks_are_no_fault(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 103, ago=20)
    refresh(database)
    insert(database, 110, 90, ago=20, every=2)
    found = check_one("candles_equal_ticks")
    assert found.passed
    assert number(found, "late") == 1
    assert "1 had late ticks and were refreshed" in (found.description or "")
    with database.transaction() as cursor:
        cursor.execute("SELECT high, low, tick_count FROM one_minute_candle")
        assert cursor.fetchall() == [(110, 90, 4)]


def test_what_cannot_be_healed_is_an_error(
    database: Database, check_one: CheckOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, 100, 103, ago=20)
    refresh(database)
    tamper(database, "UPDATE {table} SET high = 1000")
    monkeypatch.setattr("ticks_platform.timescale.candles.reconciliation._call", lambda *_: None)
    found = check_one("candles_equal_ticks")
    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == "1 candles are wrong; a forced refresh does not heal them"


def test_candles_whose_ticks_were_dropped_are_left_alone(database: Database, check_one: CheckOne) -> None:
    """A refresh would delete them, and a late tick that creates the chunk again would replace a whole candle."""
    insert(database, 100, 103, ago=60 * 24 * 40)
    change_hours(database)
    refresh(database)
    with database.autocommit() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', now() - INTERVAL '30 days')")
    assert check_one("candles_equal_ticks").passed
    insert(database, 7, ago=60 * 24 * 40)
    change_hours(database)
    assert check_one("candles_equal_ticks").passed
    with database.transaction() as cursor:
        cursor.execute("SELECT high, tick_count FROM one_minute_candle")
        assert cursor.fetchall() == [(103, 2)]
