"""The sensor that runs an asset once hours are proven."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from ticks_platform import DatabaseResource, run_when_proven
from ticks_platform.timescale.database import Database

HOUR = timedelta(hours=1)
NOW = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)


class Followed:
    """The sensor, and what it has requested."""

    def __init__(
        self, instance: dg.DagsterInstance, database: Database, partitions: dg.PartitionsDefinition | None
    ) -> None:
        @dg.asset(partitions_def=partitions)
        def mine() -> None:
            """Of proven hours."""

        self.sensor = run_when_proven(mine)
        self.resource = DatabaseResource(url=database.url())
        self.definitions = dg.Definitions(
            assets=[mine], sensors=[self.sensor], resources={"ticks_database": self.resource}
        )
        self.database = database
        self.instance = instance
        self.cursor: str | None = None

    def prove(self, *hours: datetime, candle: str = "one_hour_candle") -> None:
        """Note that these are proven now."""
        with self.database.transaction() as cursor:
            for hour in hours:
                cursor.execute(
                    "INSERT INTO ticks_platform.level_proof VALUES (%s, %s, 1, 1, clock_timestamp()) "
                    "ON CONFLICT (candle, bucket) DO UPDATE SET compared_at = clock_timestamp()",
                    (candle, hour),
                )

    def requested(self) -> list[str | None]:
        """The partitions of one evaluation."""
        context = dg.build_sensor_context(
            self.instance,
            cursor=self.cursor,
            definitions=self.definitions,
            resources={"ticks_database": self.resource},
        )
        result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        return [request.partition_key for request in result.run_requests or ()]


def key(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d-%H:%M}"


def test_each_hour_is_run_once_it_is_proven_and_again_when_it_is_proven_anew(
    instance: dg.DagsterInstance, database: Database
) -> None:
    hourly = Followed(instance, database, dg.HourlyPartitionsDefinition("2026-01-05-00:00"))
    assert hourly.requested() == []
    hourly.prove(NOW - 48 * HOUR, NOW - 3 * HOUR, NOW - 2 * HOUR)
    hourly.prove(NOW - 4 * HOUR, candle="one_day_candle")
    assert hourly.requested() == [key(NOW - 3 * HOUR), key(NOW - 2 * HOUR)], "those of the last day, at first"
    assert hourly.requested() == []
    hourly.prove(NOW - 48 * HOUR)
    assert hourly.requested() == [key(NOW - 48 * HOUR)], "a correction of a day before"


def test_an_asset_without_partitions_runs_as_a_whole(instance: dg.DagsterInstance, database: Database) -> None:
    whole = Followed(instance, database, None)
    whole.prove(NOW - 3 * HOUR, NOW - 2 * HOUR)
    assert whole.requested() == [None]
    assert whole.requested() == []


def test_what_cannot_be_proven_is_refused() -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a"]))
    def mine() -> None:
        """Of no time."""

    with pytest.raises(dg.DagsterInvalidDefinitionError, match="not of time"):
        run_when_proven(mine)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="one_hour_candle or one_day_candle"):
        run_when_proven(mine, "one_minute_candle")
