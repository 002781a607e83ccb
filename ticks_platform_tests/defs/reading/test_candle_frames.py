"""Assets of a project that take candles as DataFrames: by partition, and by look-back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ticks_platform import ReaderResource
from ticks_platform.timescale.database import Database
from ticks_platform_tests.reading.test_candles import keep_calendars, store
from ticks_platform_tests.support.ingestion import rows

DAY = "2026-01-05"

Frames = dict[str, pd.DataFrame]
Made = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def database(database: Database) -> Database:
    """Two symbols over some hours of two days."""
    store(
        database,
        ("2026-01-04 23:10:00", "AAPL", 8.0, 1.0, None),
        (f"{DAY} 00:00:00", "AAPL", 9.0, 1.0, None),
        (f"{DAY} 14:30:00", "AAPL", 10.0, 1.0, None),
        (f"{DAY} 14:59:59", "AAPL", 11.0, 1.0, None),
        (f"{DAY} 14:40:00", "MSFT", 100.0, 1.0, None),
        (f"{DAY} 15:00:00", "AAPL", 12.0, 1.0, None),
        ("2026-01-06 00:00:00", "AAPL", 13.0, 1.0, None),
    )
    return database


@pytest.fixture
def given() -> Frames:
    """The frames that assets were given, by the candle."""
    return {}


@pytest.fixture
def materialize(platform: dg.Definitions, instance: dg.DagsterInstance, database: Database) -> Made:
    """Materializes an asset of a project that has the platform, with the platform's resources."""

    def run(asset: dg.AssetsDefinition, **options: Any) -> dg.ExecuteInProcessResult:
        resources = {key: value for key, value in (platform.resources or {}).items() if key.startswith("ticks_")}
        return dg.materialize(
            [asset, *(platform.assets or ())],  # type: ignore[list-item]
            selection=[asset],
            instance=instance,
            resources=resources,
            raise_on_error=options.pop("raise_on_error", True),
            **options,
        )

    return run


def features(given: Frames, candle: str = "one_hour_candle", **arguments: Any) -> dg.AssetsDefinition:
    """An asset of a candle, and what its input says of itself."""
    metadata: Mapping[str, Any] = arguments.pop("metadata", {})

    @dg.asset(ins={"frame": dg.AssetIn(candle, metadata=dict(metadata))}, **arguments)
    def features(frame: pd.DataFrame) -> None:
        given[candle] = frame

    return features


def contents(frame: pd.DataFrame) -> list[tuple[str, str, float]]:
    return [
        (f"{bucket:%d %H:%M}", row.symbol, row.close)
        for bucket, row in zip(frame.index, frame.itertuples(index=False), strict=True)
    ]


HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00")
DAILY = dg.DailyPartitionsDefinition("2026-01-01")


def test_a_parameter_with_the_name_of_a_candle_is_its_frame(materialize: Made, given: Frames) -> None:
    @dg.asset(partitions_def=HOURLY)
    def mine(one_hour_candle: pd.DataFrame) -> None:
        given["hour"] = one_hour_candle

    result = materialize(mine, partition_key=f"{DAY}-14:00")
    assert contents(given["hour"]) == [("05 14:00", "AAPL", 11.0), ("05 14:00", "MSFT", 100.0)]
    assert given["hour"]["tick_count"].tolist() == [2, 1]
    (loaded,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.LOADED_INPUT)
    assert loaded.event_specific_data.metadata["candles"].value == 2  # type: ignore[union-attr]


def test_by_day(materialize: Made, given: Frames) -> None:
    materialize(features(given, partitions_def=DAILY), partition_key=DAY)
    assert [place for place, *_ in contents(given["one_hour_candle"])] == [
        "05 00:00",
        "05 14:00",
        "05 14:00",
        "05 15:00",
    ]
    materialize(features(given, "one_minute_candle", partitions_def=DAILY), partition_key="2026-01-06")
    assert contents(given["one_minute_candle"]) == [("06 00:00", "AAPL", 13.0)]


def test_days_of_another_time_zone(materialize: Made, given: Frames) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01", timezone="America/New_York")
    asset = features(given, partitions_def=days, metadata={"tz": "America/New_York"})
    materialize(asset, partition_key="2026-01-04")
    assert contents(given["one_hour_candle"]) == [("04 18:00", "AAPL", 8.0), ("04 19:00", "AAPL", 9.0)]
    assert str(given["one_hour_candle"].index.tz) == "America/New_York"  # type: ignore[attr-defined]


def test_a_range_of_partitions_in_one_run(materialize: Made, given: Frames) -> None:
    asset = features(given, partitions_def=HOURLY, backfill_policy=dg.BackfillPolicy.single_run())
    bounds = {
        "dagster/asset_partition_range_start": f"{DAY}-14:00",
        "dagster/asset_partition_range_end": f"{DAY}-15:00",
    }
    materialize(asset, tags=bounds)
    assert [close for *_, close in contents(given["one_hour_candle"])] == [11.0, 100.0, 12.0]


def test_partitions_of_two_dimensions_have_the_time_of_theirs(materialize: Made, given: Frames) -> None:
    both = dg.MultiPartitionsDefinition({"day": DAILY, "model": dg.StaticPartitionsDefinition(["a", "b"])})
    key = dg.MultiPartitionKey({"day": "2026-01-06", "model": "b"})
    materialize(features(given, partitions_def=both), partition_key=key)
    assert contents(given["one_hour_candle"]) == [("06 00:00", "AAPL", 13.0)]


def test_a_candle_that_ends_after_the_partition_is_not_in_it(materialize: Made, given: Frames) -> None:
    asset = features(given, "one_day_candle", partitions_def=HOURLY, metadata={"warm_up": "2d"})
    materialize(asset, partition_key=f"{DAY}-14:00")
    assert contents(given["one_day_candle"]) == [("04 00:00", "AAPL", 8.0)], "not the day itself, which ends later"


def test_warm_up_symbols_and_another_length(materialize: Made, given: Frames) -> None:
    chosen = {"warm_up": "20m", "symbols": ["AAPL"], "every": "10m"}
    materialize(
        features(given, "one_minute_candle", partitions_def=HOURLY, metadata=chosen), partition_key=f"{DAY}-15:00"
    )
    assert contents(given["one_minute_candle"]) == [("05 14:50", "AAPL", 11.0), ("05 15:00", "AAPL", 12.0)]


def test_trading_days_that_were_over_by_the_end_of_the_partition(
    materialize: Made, given: Frames, database: Database
) -> None:
    keep_calendars(database, "AAPL")
    chosen = {"every": "session", "warm_up": "12h", "symbols": ["AAPL"]}
    asset = features(given, "one_day_candle", partitions_def=HOURLY, metadata=chosen)
    materialize(asset, partition_key=f"{DAY}-20:00")
    assert given["one_day_candle"]["close"].tolist() == [12.0], "New York closed at 21:00 UTC"
    materialize(asset, partition_key=f"{DAY}-19:00")
    assert given["one_day_candle"].empty


def test_an_empty_partition_has_the_same_columns(materialize: Made, given: Frames) -> None:
    materialize(features(given, partitions_def=DAILY), partition_key=DAY)
    filled = given["one_hour_candle"]
    materialize(features(given, partitions_def=DAILY), partition_key="2026-01-02")
    empty = given["one_hour_candle"]
    assert len(empty) == 0
    assert empty.dtypes.astype(str).to_dict() == filled.dtypes.astype(str).to_dict()
    assert empty.index.dtype == filled.index.dtype


def recent(database: Database) -> datetime:
    """Ticks in the open hour, in the one before, and two days ago; the open hour's begin."""
    ((now,),) = rows(database, "SELECT date_trunc('hour', now())")
    hour: datetime = now.astimezone(timezone.utc)
    for ago, price in ((0, 3.0), (1, 2.0), (48, 1.0)):
        store(database, (f"{hour - timedelta(hours=ago):%Y-%m-%d %H:%M:%S}", "AAPL", price, 1.0, None))
    return hour


def test_without_partitions_it_is_a_look_back_of_closed_candles(
    materialize: Made, given: Frames, database: Database
) -> None:
    hour = recent(database)
    materialize(features(given))
    frame = given["one_hour_candle"]
    ((now,),) = rows(database, "SELECT date_trunc('hour', now())")
    closed = [2.0] if now == hour else [2.0, 3.0]
    assert frame.loc[frame["close"] < 8, "close"].tolist() == [1.0, *closed]
    materialize(features(given, metadata={"look_back": "24h"}))
    assert given["one_hour_candle"]["close"].tolist() in ([2.0], [2.0, 3.0])


def test_a_partition_that_is_not_over_has_its_closed_candles(
    materialize: Made, given: Frames, database: Database
) -> None:
    hour = recent(database)
    days = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)
    materialize(features(given, partitions_def=days), partition_key=f"{hour:%Y-%m-%d}")
    ((now,),) = rows(database, "SELECT date_trunc('hour', now())")
    buckets = given["one_hour_candle"].index
    assert now in {hour, hour + timedelta(hours=1)}
    if now == hour:
        assert hour not in buckets
    assert (hour - timedelta(hours=1) in buckets) is (hour.hour > 0)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    assert error is not None
    return error.to_string()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"simbols": ["AAPL"]}, "unknown metadata simbols"),
        ({"look_back": "a while"}, "look_back 'a while' is no duration"),
        ({"warm_up": "-1h"}, "warm_up '-1h' is no duration"),
        ({"look_back": "99999999999999d"}, "is no duration"),
        ({"symbols": ["AAPPL"]}, "no feed has 'AAPPL'"),
        ({"every": "7h"}, "every='7h' is no length of candles"),
    ],
)
def test_metadata_that_cannot_be_is_said(
    materialize: Made, given: Frames, metadata: dict[str, Any], words: str
) -> None:
    result = materialize(features(given, metadata=metadata), raise_on_error=False)
    assert not result.success
    assert words in failure(result)


def test_what_is_no_candle_is_refused_with_the_way_to_read_it(materialize: Made, given: Frames) -> None:
    ticks = {"frame": dg.AssetIn("stocks_real_time", input_manager_key="ticks_candles")}

    @dg.asset(ins=ticks)
    def mine(frame: pd.DataFrame) -> None:
        given["ticks"] = frame

    said = failure(materialize(mine, raise_on_error=False))
    assert "stocks_real_time is none of them" in said
    assert "ticks_reader" in said


def test_the_resource_reads_the_platforms_database(materialize: Made, given: Frames) -> None:
    @dg.asset
    def mine(ticks_reader: ReaderResource) -> None:
        given["candles"] = ticks_reader.candles("AAPL", "1h", DAY, "2026-01-06", tz="Europe/Berlin")
        given["ticks"] = ticks_reader.ticks("AAPL", start=f"{DAY} 14:00", end=f"{DAY} 15:00")
        given["quotes"] = ticks_reader.quotes("AAPL")
        given["bars"] = ticks_reader.bars("AAPL", "1m")
        given["gaps"] = ticks_reader.gaps("AAPL", state="open")
        given["symbols"] = ticks_reader.symbols()

    materialize(mine)
    assert contents(given["candles"]) == [
        ("05 00:00", "AAPL", 8.0),
        ("05 01:00", "AAPL", 9.0),
        ("05 15:00", "AAPL", 11.0),
        ("05 16:00", "AAPL", 12.0),
    ]
    assert given["ticks"]["price"].tolist() == [10.0, 11.0]
    assert [len(given[name]) for name in ("quotes", "bars", "gaps")] == [0, 0, 0]
    assert "is_streamed" in given["symbols"]
