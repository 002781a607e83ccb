"""The policies' assets, which follow policies.yaml, and the check that finds what was changed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.defs.policies.policies import ONLY_RUN
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.conftest import CANDLES, make_policies
from ticks_platform_tests.support.candles import ERROR, WARN, CheckOne, account_run

MINUTES = "one_minute_candle_refresh_policy"
COLUMNSTORE = "stocks_real_time_columnstore_policy"
RETENTION = "stocks_real_time_retention_policy"


@pytest.fixture
def made(fresh: Database) -> Database:
    """Candles with their policies."""
    with fresh.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.HYPERTABLE, *sql_files.MACHINERY, *CANDLES)
        make_policies(cursor)
    return fresh


def job(database: Database, procedure: str) -> tuple[Any, ...]:
    """Id, interval and configuration of the one job of a table that calls this."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT job_id, schedule_interval::text, config FROM timescaledb_information.jobs "
            "WHERE proc_name = %s AND coalesce(hypertable_name, '') NOT IN ('one_hour_candle', 'one_day_candle')",
            (procedure,),
        )
        (row,) = cursor.fetchall()
        return row


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def materialize(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[..., dict[str, Any]]:
    """Materializes one policy's asset; what that shows."""

    def run(name: str, **tags: str) -> dict[str, Any]:
        result = dg.materialize([platform.resolve_assets_def(name)], instance=instance, tags=tags)
        (materialization,) = result.asset_materializations_for_node(name)
        return {key: value.value for key, value in materialization.metadata.items()}

    return run


def test_a_change_of_the_file_reaches_the_database_and_nothing_else(
    made: Database, project: Path, materialize: Callable[..., dict[str, Any]], check_one: CheckOne
) -> None:
    before = job(made, "policy_refresh_continuous_aggregate")
    columnstore = job(made, "policy_compression")
    assert materialize(MINUTES)["outcome"] == "unchanged"
    assert check_one("policy_is_as_declared", MINUTES).passed
    change(project / "policies.yaml", "start_offset: 4 hours", "start_offset: 6 hours")
    found = check_one("policy_is_as_declared", MINUTES)
    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == f"job {before[0]}: start_offset is 4:00:00, declared 6:00:00"
    shown = materialize(MINUTES)
    assert (shown["outcome"], shown["changes"]) == ("altered", "start_offset is 4:00:00, declared 6:00:00")
    after = job(made, "policy_refresh_continuous_aggregate")
    assert after == (*before[:2], {**before[2], "start_offset": "06:00:00"})
    assert job(made, "policy_compression") == columnstore
    assert check_one("policy_is_as_declared", MINUTES).passed


def test_a_change_by_hand_turns_the_check_red_and_stays_until_somebody_materializes(
    made: Database, materialize: Callable[..., dict[str, Any]], check_one: CheckOne
) -> None:
    job_id, *_ = job(made, "policy_refresh_continuous_aggregate")
    with made.transaction() as cursor:
        cursor.execute("SELECT alter_job(%s, schedule_interval => INTERVAL '5 minutes')", (job_id,))
    shown = materialize(MINUTES, **{ONLY_RUN: "true"})
    assert shown["outcome"] == "not compared", "as the schedule runs it"
    found = check_one("policy_is_as_declared", MINUTES)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "schedule_interval is 0:05:00, declared 0:01:00" in (found.description or "")
    assert materialize(MINUTES)["outcome"] == "altered"
    assert check_one("policy_is_as_declared", MINUTES).passed
    with made.transaction() as cursor:
        cursor.execute("SELECT remove_compression_policy('stocks_real_time')")
    found = check_one("policy_is_as_declared", COLUMNSTORE)
    assert (found.passed, found.description) == (False, "it is missing")


@pytest.mark.usefixtures("no_scheduler")
def test_a_policy_that_fails_or_is_late_turns_the_check_red(made: Database, check_one: CheckOne) -> None:
    refresh, *_ = job(made, "policy_refresh_continuous_aggregate")
    columnstore, *_ = job(made, "policy_compression")
    account_run(made, refresh, minutes_ago=1)
    assert check_one("policy_is_as_declared", COLUMNSTORE).passed
    account_run(made, columnstore, minutes_ago=60 * 20)
    assert check_one("policy_is_as_declared", COLUMNSTORE).passed
    account_run(made, columnstore, minutes_ago=60 * 26)
    found = check_one("policy_is_as_declared", COLUMNSTORE)
    assert (found.passed, found.severity) == (False, WARN)
    assert "last succeeded 936" in (found.description or "")
    account_run(made, columnstore, minutes_ago=1, error="could not extend file: No space left on device")
    found = check_one("policy_is_as_declared", COLUMNSTORE)
    assert (found.passed, found.severity) == (False, ERROR)
    assert "failed: could not extend file: No space left on device" in (found.description or "")


def test_retention_is_off_until_it_is_declared_and_refused_where_candles_need_the_ticks(
    made: Database, project: Path, materialize: Callable[..., dict[str, Any]], check_one: CheckOne
) -> None:
    file = project / "policies.yaml"
    assert materialize(RETENTION)["outcome"] == "off"
    assert check_one("policy_is_as_declared", RETENTION).description == "off, as declared"
    change(file, "  stocks_real_time: off", "  stocks_real_time: {drop_after: 3 hours, schedule_interval: 1 day}")
    with pytest.raises(Exception, match=r"drop_after .3:00:00. has to be at least 4:01:00"):
        materialize(RETENTION)
    change(file, "drop_after: 3 hours", "drop_after: 30 days")
    assert materialize(RETENTION)["outcome"] == "created"
    assert check_one("policy_is_as_declared", RETENTION).passed
    with made.transaction() as cursor:
        cursor.execute(
            "SELECT add_retention_policy('stocks_real_time', INTERVAL '1 day', initial_start => now() + '1 h')"
        )
    found = check_one("policy_is_as_declared", RETENTION)
    assert not found.passed
    assert "is not declared" in (found.description or "")
