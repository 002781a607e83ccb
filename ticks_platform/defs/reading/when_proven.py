"""A sensor that runs an asset once hours or days of candles are proven."""

from __future__ import annotations

import dagster as dg

from ticks_platform.defs.common.bring_up import unreachable
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.reading.changed_partitions import partition_keys
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR


def run_when_proven(
    asset: dg.AssetsDefinition, candle: str = "one_hour_candle", *, name: str | None = None
) -> dg.SensorDefinition:
    """A sensor that runs an asset once an hour of candles is proven, and once more when that hour is proven again.

    An asset with partitions of time runs for the partitions of those hours that are over; another one runs as a whole.
    It begins with the hours that were proven within the last day. Give the asset's input the metadata
    ``{"proven": True}``, so that it gets proven candles alone: symbols with a gap in the hour are left out then.

    :param asset: with or without partitions of time.
    :param candle: ``one_hour_candle``, or ``one_day_candle`` for UTC days.
    :param name: of the sensor; by default that of the asset, with ``_when_proven``.
    """
    length = {level.name: level.bucket for level in (ONE_HOUR, ONE_DAY)}.get(candle)
    if length is None:
        raise dg.DagsterInvalidDefinitionError(f"{candle} is not proven by itself: one_hour_candle or one_day_candle")
    partitions = asset.partitions_def
    if partitions is not None and not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        raise dg.DagsterInvalidDefinitionError(
            f"asset {asset.key.to_user_string()} has partitions that are not of time"
        )

    @dg.sensor(
        name=name or f"{asset.key.to_python_identifier()}_when_proven",
        target=[asset],
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description=f"Runs once buckets of {candle} are proven, and once more when one of them is proven again.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, ticks_database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            with ticks_database.autocommit() as cursor:
                cursor.execute("SELECT to_regclass('ticks_platform.level_proof') IS NOT NULL")
                if cursor.fetchone() != (True,):
                    return dg.SkipReason("the database has no proofs yet")
                parameters = {"candle": candle, "after": context.cursor}
                cursor.execute(sql_files.read("queries/candle_proof/newly_proven.sql"), parameters)
                found = cursor.fetchall()
        except UNREACHABLE as error:
            return unreachable(error)
        if not found:
            return dg.SkipReason(f"no bucket of {candle} was proven since")
        last = found[-1][1].isoformat()
        if partitions is None:
            return dg.SensorResult([dg.RunRequest(run_key=last)], cursor=last)
        keys = partition_keys(partitions, [(bucket, bucket + length) for bucket, _ in found])
        return dg.SensorResult([dg.RunRequest(run_key=f"{last} {key}", partition_key=key) for key in keys], cursor=last)

    return sensor
