"""What keeps candles up to their ticks: policies that are missing, stopped, failing or late are found."""

from __future__ import annotations

import pytest

from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import policies
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.candles import ERROR, WARN, CheckOne, account_run, insert, number, refresh

LEVELS = pytest.mark.parametrize(
    "candle", [ONE_MINUTE, pytest.param(ONE_HOUR, marks=pytest.mark.full), ONE_DAY], ids=["minute", "hour", "day"]
)


@pytest.fixture
def database(database: Database) -> Database:
    """Candles with their policies, which do not begin by themselves for the time of a test."""
    with database.transaction() as cursor:
        make_policies(cursor)
    return database


def job(database: Database, candle: Candle) -> int:
    with database.transaction() as cursor:
        policy = policies.refresh_policy(cursor, candle.name)
    assert policy is not None
    return policy.job_id


def account(database: Database, candle: Candle, *, minutes_ago: float, error: str | None = None) -> None:
    account_run(database, job(database, candle), minutes_ago=minutes_ago, error=error)


@LEVELS
@pytest.mark.usefixtures("no_scheduler")
def test_refreshes_that_keep_up_pass(database: Database, check_one: CheckOne, candle: Candle) -> None:
    assert check_one("refreshes_keep_up", candle.name).passed, "without ticks there is nothing to keep up with"
    insert(database, 100, 101, ago=60 * 48)
    insert(database, 100, 101, ago=0)
    refresh(database)
    found = check_one("refreshes_keep_up", candle.name)
    assert found.passed
    assert (number(found, "policies"), number(found, "run by")) == (1, "Dagster")
    assert number(found, "lag in seconds") > 0
    account(database, candle, minutes_ago=0.5)
    found = check_one("refreshes_keep_up", candle.name)
    assert found.passed
    assert number(found, "run by") == "the database"
    assert number(found, "last success seconds ago") >= 30


@LEVELS
@pytest.mark.usefixtures("no_scheduler")
def test_a_candle_that_is_behind_is_found(database: Database, check_one: CheckOne, candle: Candle) -> None:
    insert(database, 100, ago=60 * 96)
    found = check_one("refreshes_keep_up", candle.name)
    assert (found.passed, found.severity, found.description) == (False, WARN, "nothing is materialized")
    refresh(database)
    assert check_one("refreshes_keep_up", candle.name).passed
    insert(database, 100, ago=60 * 30)
    found = check_one("refreshes_keep_up", candle.name)
    assert (found.passed, found.severity) == (False, WARN)
    assert "lacks ticks since then" in (found.description or "")


@LEVELS
def test_a_candle_without_a_policy_is_found(database: Database, check_one: CheckOne, candle: Candle) -> None:
    with database.transaction() as cursor:
        cursor.execute("SELECT remove_continuous_aggregate_policy(%s::regclass)", (candle.name,))
    found = check_one("refreshes_keep_up", candle.name)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "there is no refresh policy" in (found.description or "")


@LEVELS
def test_a_stopped_policy_is_found(database: Database, check_one: CheckOne, candle: Candle) -> None:
    with database.transaction() as cursor:
        cursor.execute("SELECT alter_job(%s, scheduled => false)", (job(database, candle),))
    found = check_one("refreshes_keep_up", candle.name)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "is stopped" in (found.description or "")


@LEVELS
@pytest.mark.usefixtures("no_scheduler")
def test_a_failing_policy_is_found_with_the_error_of_the_database(
    database: Database, check_one: CheckOne, candle: Candle
) -> None:
    account(database, candle, minutes_ago=0.5, error="could not extend file: No space left on device")
    found = check_one("refreshes_keep_up", candle.name)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "failed: could not extend file: No space left on device" in (found.description or "")


@pytest.mark.usefixtures("no_scheduler")
def test_a_late_policy_is_found(database: Database, check_one: CheckOne) -> None:
    account(database, ONE_MINUTE, minutes_ago=10)
    account(database, ONE_HOUR, minutes_ago=10)
    found = check_one("refreshes_keep_up")
    assert (found.passed, found.severity) == (False, WARN)
    assert "last succeeded 60" in (found.description or "")
    assert check_one("refreshes_keep_up", "one_hour_candle").passed, "it runs once an hour"
