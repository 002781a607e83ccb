"""The signals of `examples/signals`: features, their checks, a backtest by point in time; they run by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from examples.signals import features as features_module
from examples.signals.backtest import backtest
from examples.signals.features import compute, features
from ticks_platform import CandleFrames, DatabaseResource, ReaderResource, run_when_proven
from ticks_platform.defs.common.changes import CHANGED, spans_metadata
from ticks_platform.ingestion.lease import register_feed
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows

CHECKS = ("each_hour_is_there_once", "features_are_in_bounds", "features_do_not_look_ahead")

HOUR = timedelta(hours=1)


@pytest.fixture
def now(database: Database) -> datetime:
    """Begin of the open hour, by the database."""
    ((hour,),) = rows(database, "SELECT date_trunc('hour', now())")
    begin: datetime = hour.astimezone(timezone.utc)
    return begin


def store(database: Database, *ticks: tuple[datetime, float, timedelta], symbol: str = "AAPL") -> None:
    """Ticks of (time, price, how late they were received), of a feed that has had the symbol all the time."""
    with database.transaction() as cursor:
        register_feed(cursor, feed="tape", provider="twelve_data", synthetic=True, candles=True)
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('tape', %s, now() - INTERVAL '3 days', 'always') ON CONFLICT DO NOTHING",
            (symbol,),
        )
        for number, (time, price, late) in enumerate(ticks):
            tick_id = f"{round((time + late).timestamp() * 1000):012x}70008000{number:012x}"
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at) "
                "VALUES (%s, %s, %s, 1, %s, 'tape', %s)",
                (time, symbol, price, tick_id, time + late),
            )


def hours(now: datetime, *prices: tuple[float, float]) -> list[tuple[datetime, float, timedelta]]:
    """The ticks of the newest closed hours, each with its open and its close, which were received at once."""
    ticks = []
    for ago, (first, last) in zip(range(len(prices), 0, -1), prices, strict=True):
        begin = now - ago * HOUR
        ticks += [(begin, first, timedelta(0)), (begin + timedelta(minutes=50), last, timedelta(0))]
    return ticks


@pytest.fixture
def made(database: Database) -> Callable[[], dg.ExecuteInProcessResult]:
    """Materializes both assets and runs the checks."""

    def run() -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [
                dg.AssetSpec("one_hour_candle").with_io_manager_key("ticks_candles"),
                features,
                backtest,
                *(getattr(features_module, name) for name in CHECKS),
            ],
            resources=resources(database),
        )

    return run


def resources(database: Database) -> dict[str, object]:
    source = DatabaseResource(url=database.url())
    return {"ticks_reader": ReaderResource(database=source), "ticks_candles": CandleFrames(database=source)}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_a_late_tick_is_not_known_before_it_came(
    made: Callable[[], dg.ExecuteInProcessResult], database: Database, now: datetime
) -> None:
    store(database, *hours(now, (10, 10), (10, 10), (10, 10), (10, 11), (11, 12), (12, 12)))
    before = made()
    assert metadata(before, "backtest")["decided differently in hindsight"] == 0
    # The price of the hour before the one with the profit was 8 at last, which was told two hours later.
    store(database, (now - 2 * HOUR - timedelta(minutes=1), 8.0, 2 * HOUR))
    result = made()
    found: pd.DataFrame = result.output_for_node("backtest")
    decided = found.loc[pd.Timestamp(now - 2 * HOUR)]
    assert (decided["known"], decided["hindsight"]) == (1.0, -1.0)
    assert decided["change"] == pytest.approx(12 / 11 - 1)
    told = metadata(result, "backtest")
    assert told["earned"] == pytest.approx(metadata(before, "backtest")["earned"])
    assert told["decided differently in hindsight"] >= 1
    assert told["look-ahead"] < -0.1, "hindsight would have sold"
    assert told["result"].startswith("![what it earned](data:image/svg+xml,")
    assert len(told["result"]) < 1000, "Dagster hides longer ones"
    assert verdicts(result) == dict.fromkeys(CHECKS, True)


def test_features_by_hand(now: datetime) -> None:
    index = pd.DatetimeIndex([now + hour * HOUR for hour in range(5) for _ in range(2)], name="bucket")
    closes = [value for hour in range(5) for value in (float(100 + hour), 50.0)]
    candles = pd.DataFrame(
        {"symbol": pd.Categorical(["A", "B"] * 5), "close": closes, "high": closes, "low": [c - 1 for c in closes]},
        index=index,
    )
    found = compute(candles)
    last = found[found["symbol"] == "A"].iloc[-1]
    assert last["momentum"] == pytest.approx(104 / 102.5 - 1)
    assert last["change"] == pytest.approx(104 / 103 - 1)
    assert last["range"] == pytest.approx(1 / 104)
    assert last["volatility"] == pytest.approx(pd.Series([101 / 100, 102 / 101, 103 / 102, 104 / 103]).std())
    flat = found[found["symbol"] == "B"]
    assert flat["momentum"].tolist()[3:] == [0.0, 0.0]
    assert flat["momentum"].isna().tolist() == [True] * 3 + [False] * 2


def test_without_a_closed_hour_they_are_empty(
    made: Callable[[], dg.ExecuteInProcessResult], database: Database
) -> None:
    result = made()
    assert len(result.output_for_node("features")) == 0
    assert len(result.output_for_node("backtest")) == 0
    assert verdicts(result) == dict.fromkeys(CHECKS, True)


def test_a_feature_that_looks_ahead_is_found(
    made: Callable[[], dg.ExecuteInProcessResult], database: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looking_ahead(candles: pd.DataFrame) -> pd.DataFrame:
        found = compute(candles)
        return found.assign(range=found["range"] - found["close"].mean())

    store(database, *hours(now, (10, 11), (11, 12), (12, 11), (11, 10), (10, 12), (12, 13)))
    monkeypatch.setattr(features_module, "compute", looking_ahead)
    assert verdicts(made()) == {
        "each_hour_is_there_once": True,
        "features_are_in_bounds": False,
        "features_do_not_look_ahead": False,
    }


def test_an_hour_with_a_gap_has_no_features_until_it_is_repaired(
    made: Callable[[], dg.ExecuteInProcessResult], database: Database, now: datetime
) -> None:
    store(database, *hours(now, (10, 11), (11, 12), (12, 13)))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('tape', 'AAPL', %s, %s, 'disconnected')",
            (now - 2 * HOUR + timedelta(minutes=20), now - 2 * HOUR + timedelta(minutes=21)),
        )
    assert made().output_for_node("features")["close"].tolist() == [11.0, 13.0]
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM ticks_platform.feed_gap")
    assert made().output_for_node("features")["close"].tolist() == [11.0, 12.0, 13.0]


def test_a_proven_hour_runs_the_features_and_these_the_backtest(database: Database, now: datetime) -> None:
    candle = dg.AssetSpec("one_hour_candle").with_io_manager_key("ticks_candles")
    sensor = run_when_proven(features)
    definitions = dg.Definitions(assets=[candle, features, backtest], sensors=[sensor], resources=resources(database))
    spans = {CHANGED: spans_metadata([(now - HOUR, now)])}
    with dg.DagsterInstance.ephemeral() as instance:

        def proven() -> list[dg.RunRequest]:
            """What the sensor of the features requests."""
            context = dg.build_sensor_context(
                instance, resources={"ticks_database": DatabaseResource(url=database.url())}, definitions=definitions
            )
            return list(sensor.evaluate_tick(context).run_requests or ())

        def requested() -> int:
            nonlocal result
            result = dg.evaluate_automation_conditions(definitions, instance, cursor=result.cursor)
            return result.total_requested

        result = dg.evaluate_automation_conditions(definitions, instance)
        instance.report_runless_asset_event(dg.AssetMaterialization("one_hour_candle", metadata=spans))
        assert (requested(), proven()) == (0, []), "closed is not proven"
        with database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO ticks_platform.level_proof VALUES ('one_hour_candle', %s, 1, 1, now())", (now - HOUR,)
            )
        assert len(proven()) == 1
        assert requested() == 0, "the backtest comes after the features"
        instance.report_runless_asset_event(dg.AssetMaterialization("features"))
        assert [requested(), requested()] == [1, 0]


@pytest.mark.full
def test_the_platform_and_the_signals_load_together(database: Database, repository_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "examples.signals.definitions"],
        cwd=repository_root,
        env={**os.environ, "TICKS_DATABASE_URL": database.url()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
