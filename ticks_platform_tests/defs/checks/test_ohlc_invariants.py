"""The check ohlc_invariants passes on good candles, and finds each fault that is put into the database."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import examples, insert_in_a_minute, refresh
from ticks_platform_tests.support.dagster import checked

Invariants = Callable[[], list[dg.AssetCheckEvaluation]]


@pytest.fixture
def invariants(platform: dg.Definitions, instance: dg.DagsterInstance) -> Invariants:
    """Runs the check ohlc_invariants of the candles of minutes and of hours."""
    return lambda: checked(platform, instance, "ohlc_invariants", ONE_MINUTE.name, ONE_HOUR.name)


@pytest.mark.usefixtures("database")
def test_no_candles_are_good_candles(invariants: Invariants) -> None:
    for evaluation in invariants():
        assert evaluation.passed
        assert evaluation.metadata["candles"].value == 0


@pytest.mark.parametrize("materialized", [True, False], ids=["materialized", "real-time"])
def test_good_candles_pass(database: Database, invariants: Invariants, materialized: bool) -> None:
    insert_in_a_minute(database, 100, 101.5, 99.5, 0.0001)
    insert_in_a_minute(database, 7, symbol="MSFT", hours_ago=4)
    insert_in_a_minute(database, 7, symbol="MSFT", hours_ago=3)
    if materialized:
        refresh(database, (ONE_MINUTE, ONE_HOUR))
    for evaluation in invariants():
        assert evaluation.passed
        assert evaluation.metadata["candles"].value == 3
        assert evaluation.metadata["broken"].value == 0
        assert "examples" not in evaluation.metadata


@pytest.mark.parametrize("materialized", [True, False], ids=["materialized", "real-time"])
@pytest.mark.parametrize(
    ("price", "problem"),
    [
        ("NaN", "a price is not finite"),
        ("Infinity", "a price is not finite"),
        ("-Infinity", "a price is not finite"),
        (0, "a price is not positive"),
        (-0.01, "a price is not positive"),
    ],
)
def test_impossible_price_is_found(
    database: Database, invariants: Invariants, price: str | float, problem: str, materialized: bool
) -> None:
    insert_in_a_minute(database, 100, price, 101, symbol="BAD")
    insert_in_a_minute(database, 100, 102, 101, symbol="GOOD")
    if materialized:
        refresh(database, (ONE_MINUTE, ONE_HOUR))
    for evaluation in invariants():
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert evaluation.metadata["candles"].value == 2
        assert evaluation.metadata["broken"].value == 1
        assert "1 of 2" in (evaluation.description or "")
        (example,) = examples(evaluation)
        assert (example["symbol"], example["problem"]) == ("BAD", problem)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("open = NULL", "a price is missing"),
        ("close = 'NaN'", "a price is not finite"),
        ("high = 100.5", "high is not the highest"),
        ("low = 100.5", "low is not the lowest"),
        ("open = NULL, high = NULL, low = NULL, close = NULL", "a price is missing"),
        ("tick_count = 0", "no tick in it"),
        ("price_count = 0", "prices, and no tick that may form one"),
        ("price_count = 4", "price_count is not a part of tick_count"),
        ("price_count = NULL", "price_count is not a part of tick_count"),
    ],
)
def test_tampered_candle_is_found(database: Database, invariants: Invariants, fault: str, problem: str) -> None:
    """Faults that no tick can cause, put right into what is materialized."""
    insert_in_a_minute(database, 100, 102, 101)
    refresh(database, (ONE_MINUTE, ONE_HOUR))
    with database.transaction() as cursor:
        cursor.execute(
            """
            SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
            FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'
            """
        )
        (table,) = cursor.fetchone() or ("",)
        cursor.execute(f"UPDATE {table} SET {fault}")
        assert cursor.rowcount == 1
    evaluation = invariants()[0]
    assert not evaluation.passed
    assert [example["problem"] for example in examples(evaluation)] == [problem]


def test_examples_are_few_and_the_newest(database: Database, invariants: Invariants) -> None:
    for hours_ago in range(2, 16):
        insert_in_a_minute(database, -1, hours_ago=hours_ago)
    evaluation = invariants()[0]
    assert evaluation.metadata["broken"].value == 14
    buckets = [example["bucket"] for example in examples(evaluation)]
    assert len(buckets) == 10
    assert buckets == sorted(buckets, reverse=True)


def test_candles_of_long_ago_are_left_alone(database: Database, invariants: Invariants) -> None:
    insert_in_a_minute(database, -1, hours_ago=24 * 8)
    evaluation = invariants()[0]
    assert evaluation.passed
    assert evaluation.metadata["candles"].value == 0
