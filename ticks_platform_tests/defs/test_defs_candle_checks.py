"""The checks of the candles: they pass on good candles, and find each fault that is put into the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest

from ticks_platform.ingestion import ledger, switch
from ticks_platform.ingestion.ledger import HourEntry
from ticks_platform.timescale import candles
from ticks_platform.timescale.candles import ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

CheckOne = Callable[..., dg.AssetCheckEvaluation]


@pytest.fixture
def check_one(platform: dg.Definitions, instance: dg.DagsterInstance) -> CheckOne:
    """Runs one check alone, as from the UI."""

    def check(name: str, asset: str = "one_minute_candle") -> dg.AssetCheckEvaluation:
        job = platform.resolve_job_def("check_quality")
        key = dg.AssetCheckKey(dg.AssetKey(asset), name)
        result = job.get_subset(asset_check_selection={key}, asset_selection=set()).execute_in_process(
            instance=instance
        )
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation

    return check


def insert(
    database: Database,
    *prices: object,
    symbol: str = "AAPL",
    ago: float = 30,
    every: float = 1,
    day_volume: str = "NULL",
) -> None:
    """Ticks `every` so many seconds, the first at the begin of the minute that was `ago` minutes ago."""
    with database.transaction() as cursor:
        cursor.execute(
            f"""
            INSERT INTO stocks_real_time (time, symbol, price, day_volume, tick_id, feed, received_at)
            SELECT at, %(symbol)s, price::double precision, {day_volume},
                   (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000'
                    || '8000' || lpad(number::text, 12, '0'))::uuid, 'stocks', at
            FROM (SELECT price, number, date_trunc('minute', now()) - make_interval(secs => %(ago)s * 60)
                                + (number - 1) * make_interval(secs => %(every)s) AS at
                  FROM unnest(%(prices)s) WITH ORDINALITY AS given (price, number)) AS ticks
            """,
            {
                "symbol": symbol,
                "ago": ago,
                "every": every,
                "prices": [None if price is None else str(price) for price in prices],
            },
        )


def refresh(database: Database) -> None:
    with database.autocommit() as cursor:
        for candle in (ONE_MINUTE, ONE_HOUR):
            candles.refresh_history(cursor, candle)


def tamper(database: Database, statement: str, candle: str = "one_minute_candle") -> int:
    """A statement right on what is materialized, which it calls {table}; how many rows it touched."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = %s",
            (candle,),
        )
        (table,) = cursor.fetchone() or ("",)
        cursor.execute(statement.format(table=table))
        return int(cursor.rowcount)


def number(evaluation: dg.AssetCheckEvaluation, name: str) -> Any:
    return evaluation.metadata[name].value


def examples(evaluation: dg.AssetCheckEvaluation) -> list[dict[str, Any]]:
    value = evaluation.metadata["examples"]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def change_hours(database: Database) -> None:
    """Count the ticks by hour, as loaded just now."""
    with database.transaction() as cursor:
        switch.switch(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
        cursor.execute("SELECT time_bucket('1 hour', time), count(*) FROM stocks_real_time GROUP BY 1")
        now = datetime.now(timezone.utc)
        entries = [HourEntry(hour, ticks, now) for hour, ticks in cursor.fetchall()]
        ledger.add_hours(cursor, "stocks", "stocks_real_time", entries)


@pytest.mark.parametrize("candle", [ONE_MINUTE, ONE_HOUR], ids=["minute", "hour"])
def test_candles_are_those_of_their_ticks(database: Database, check_one: CheckOne, candle: candles.Candle) -> None:
    empty = check_one("candles_equal_ticks", candle.name)
    assert empty.passed
    assert number(empty, "candles") == 0
    insert(database, 100, 103, 99, 101, "NaN", ago=62, every=0.25)
    insert(database, 100, 103, 99, 101, ago=62, every=30, symbol="MSFT")
    assert check_one("candles_equal_ticks", candle.name).passed, "computed live"
    refresh(database)
    found = check_one("candles_equal_ticks", candle.name)
    assert found.passed
    assert number(found, "candles") >= (3 if candle is ONE_MINUTE else 2)
    assert number(found, "differing") == 0
    assert "examples" not in found.metadata


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE {table} SET close = 100.5", "the candle is not that of its ticks"),
        ("UPDATE {table} SET open = 'NaN'", "the candle is not that of its ticks"),
        ("UPDATE {table} SET tick_count = 3", "the candle is not that of its ticks"),
        ("DELETE FROM {table}", "there is no candle"),
        (
            "INSERT INTO {table} (bucket, symbol, open, high, low, close, tick_count) "
            "SELECT bucket, 'GHOST', 1, 1, 1, 1, 1 FROM {table}",
            "there are no ticks",
        ),
    ],
    ids=["close", "open", "count", "lost", "made up"],
)
@pytest.mark.parametrize("changed", [False, True], ids=["recent", "long ago, changed lately"])
def test_falsified_candle_is_caught_and_healed(
    database: Database, check_one: CheckOne, statement: str, problem: str, changed: bool
) -> None:
    """Written by hand into what is materialized, which no ordinary refresh repairs."""
    insert(database, 100, 103, 99, 101, ago=60 * 24 * 40 if changed else 61)
    if changed:
        change_hours(database)
    refresh(database)
    assert tamper(database, statement) == 1
    found = check_one("candles_equal_ticks")
    assert (found.passed, found.severity) == (False, WARN)
    assert found.description == "1 candles were wrong and are healed by a forced refresh"
    assert (number(found, "differing"), number(found, "healed"), number(found, "not healed")) == (1, 1, 0)
    assert [row["problem"] for row in examples(found)] == [problem]
    assert check_one("candles_equal_ticks").passed
    with database.transaction() as cursor:
        cursor.execute("SELECT symbol, open, high, low, close, tick_count FROM one_minute_candle")
        assert cursor.fetchall() == [("AAPL", 100, 103, 99, 101, 4)]


def test_falsified_hour_is_caught_and_healed(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 103, 99, 101, ago=61)
    refresh(database)
    assert tamper(database, "UPDATE {table} SET high = 1000", "one_hour_candle") == 1
    assert check_one("candles_equal_ticks").passed, "the minutes are right"
    found = check_one("candles_equal_ticks", "one_hour_candle")
    assert (found.passed, found.severity, number(found, "healed")) == (False, WARN, 1)
    assert check_one("candles_equal_ticks", "one_hour_candle").passed


def test_an_hour_made_of_falsified_minutes_is_healed_with_them(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 103, 99, 101, ago=61)
    refresh(database)
    tamper(database, "UPDATE {table} SET high = 1000")
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_HOUR)
        cursor.execute("SELECT high FROM one_hour_candle")
        assert cursor.fetchall() == [(1000,)]
    assert number(check_one("candles_equal_ticks"), "healed") == 1
    assert check_one("candles_equal_ticks", "one_hour_candle").passed


def test_late_ticks_are_no_fault(database: Database, check_one: CheckOne) -> None:
    insert(database, 100, 103, ago=61)
    refresh(database)
    insert(database, 110, 90, ago=61, every=2)
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
    insert(database, 100, 103, ago=61)
    refresh(database)
    tamper(database, "UPDATE {table} SET high = 1000")
    monkeypatch.setattr("ticks_platform.timescale.reconciliation._call", lambda *_: None)
    found = check_one("candles_equal_ticks")
    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == "1 candles are wrong and a forced refresh does not heal them"


def test_candles_whose_ticks_were_dropped_are_left_alone(database: Database, check_one: CheckOne) -> None:
    """A refresh would delete them, and a late tick that makes the chunk anew would replace a whole candle."""
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
