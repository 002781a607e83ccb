"""The sensor that runs the partitions of an asset in which candles have changed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from ticks_platform import changed_partitions
from ticks_platform.defs.common.changes import CHANGED, spans_metadata

CANDLE = dg.AssetKey("one_hour_candle")

HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 1, 5, 14, tzinfo=timezone.utc)


def asset_by(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(partitions_def=partitions, deps=[CANDLE])
    def mine() -> None:
        """Of hours or days."""

    return mine


class Followed:
    """The sensor, and what it has requested."""

    def __init__(self, instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition) -> None:
        asset = asset_by(partitions)
        self.sensor = changed_partitions(asset)
        self.definitions = dg.Definitions(assets=[asset], sensors=[self.sensor])
        self.instance = instance
        self.cursor: str | None = None

    def report(self, *spans: tuple[datetime, datetime]) -> None:
        metadata = {CHANGED: spans_metadata(spans)} if spans else {}
        self.instance.report_runless_asset_event(dg.AssetMaterialization(CANDLE, metadata=metadata))

    def requested(self) -> list[str]:
        """The partitions of one evaluation."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions)
        result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        return [str(request.partition_key) for request in result.run_requests or ()]


@pytest.fixture
def hourly(instance: dg.DagsterInstance) -> Followed:
    return Followed(instance, dg.HourlyPartitionsDefinition("2026-01-05-00:00"))


@pytest.fixture
def daily(instance: dg.DagsterInstance) -> Followed:
    return Followed(instance, dg.DailyPartitionsDefinition("2026-01-01", timezone="America/New_York"))


def test_each_hour_that_changed_is_run_once(hourly: Followed) -> None:
    assert hourly.requested() == [], "nothing was reported"
    hourly.report((BEGIN, BEGIN + HOUR))
    assert hourly.requested() == ["2026-01-05-14:00"]
    assert hourly.requested() == []
    hourly.report((BEGIN + HOUR, BEGIN + 3 * HOUR))
    hourly.report((BEGIN - 2 * HOUR, BEGIN - HOUR), (BEGIN + HOUR, BEGIN + 2 * HOUR))
    assert hourly.requested() == ["2026-01-05-12:00", "2026-01-05-15:00", "2026-01-05-16:00"]
    assert hourly.requested() == []


def test_it_begins_with_the_newest_report(hourly: Followed) -> None:
    hourly.report((BEGIN, BEGIN + HOUR))
    hourly.report((BEGIN + HOUR, BEGIN + 2 * HOUR))
    assert hourly.requested() == ["2026-01-05-15:00"]


def test_more_reports_than_one_evaluation_reads(hourly: Followed) -> None:
    hourly.report((BEGIN, BEGIN + HOUR))
    hourly.requested()
    for number in range(1, 61):
        hourly.report((BEGIN + number * HOUR, BEGIN + (number + 1) * HOUR))
    assert len(hourly.requested()) == 50
    assert len(hourly.requested()) == 10


def test_an_hour_is_in_a_day_of_its_time_zone(daily: Followed) -> None:
    midnight = datetime(2026, 1, 6, 5, tzinfo=timezone.utc)
    daily.report((midnight - HOUR, midnight))
    assert daily.requested() == ["2026-01-05"]
    daily.report((midnight - HOUR, midnight + HOUR))
    assert daily.requested() == ["2026-01-05", "2026-01-06"]


def test_partitions_that_are_not_over_or_before_the_first_are_not_run(daily: Followed, hourly: Followed) -> None:
    now = datetime.now(timezone.utc)
    daily.report((now - timedelta(minutes=1), now))
    assert [each for each in daily.requested() if each >= f"{now - timedelta(hours=4):%Y-%m-%d}"] == []
    first = datetime(2026, 1, 5, tzinfo=timezone.utc)
    hourly.report((first - 5 * HOUR, first - 4 * HOUR), (first - HOUR, first + HOUR))
    assert hourly.requested() == ["2026-01-05-00:00"]


def test_a_candle_that_somebody_materialized_runs_nothing(hourly: Followed) -> None:
    hourly.report((BEGIN, BEGIN + HOUR))
    hourly.requested()
    hourly.report()
    hourly.report((BEGIN + HOUR, BEGIN + 2 * HOUR))
    assert hourly.requested() == ["2026-01-05-15:00"]


def test_an_asset_without_partitions_of_time_is_refused() -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="asset mine has no partitions of time"):
        changed_partitions(asset_by(dg.StaticPartitionsDefinition(["a"])))
