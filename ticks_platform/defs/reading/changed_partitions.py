"""A sensor for an asset with partitions of time: it runs those whose candles are new or corrected."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import dagster as dg

from ticks_platform.defs.common.changes import Spans, reported_spans
from ticks_platform.intervals import merge

REPORTS = 50
"""Reports that one evaluation reads; the next one reads on."""


def changed_partitions(
    asset: dg.AssetsDefinition, candle: str = "one_hour_candle", *, name: str | None = None
) -> dg.SensorDefinition:
    """A sensor that runs an asset for each of its partitions in which a closed candle is new or corrected.

    It follows the reports of the candle's asset, from the newest one on when it is evaluated first. A partition that is
    not over is run when it is. After somebody has materialized the candle, all of it may have changed: the sensor says
    so, and which partitions are made again is for a person to decide, by a backfill.

    :param asset: it has hours, days or other spans of time as partitions.
    :param candle: the key of the candle's asset.
    :param name: of the sensor; by default that of the asset, with ``_of_changed_candles``.
    """
    partitions = asset.partitions_def
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        raise dg.DagsterInvalidDefinitionError(f"asset {asset.key.to_user_string()} has no partitions of time")
    key = dg.AssetKey.from_user_string(candle)

    @dg.sensor(
        name=name or f"{asset.key.to_python_identifier()}_of_changed_candles",
        target=[asset],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs partitions in which candles of {candle} are new or corrected.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if context.cursor is None:
            newest = context.instance.fetch_materializations(key, limit=1).records
            records = list(newest)
        else:
            after = dg.AssetRecordsFilter(key, after_storage_id=int(context.cursor))
            records = list(context.instance.fetch_materializations(after, limit=REPORTS, ascending=True).records)
        if not records:
            return dg.SkipReason(f"{candle} has reported nothing since")
        spans: Spans = []
        for record in records:
            reported = reported_spans(record.asset_materialization)
            if reported is None:
                context.log.warning(f"{candle} was materialized: all of it may have changed, start a backfill if so")
            spans += reported or []
        last = records[-1].storage_id
        requests = [
            dg.RunRequest(run_key=f"{last} {each}", partition_key=each) for each in partition_keys(partitions, spans)
        ]
        return dg.SensorResult(requests, cursor=str(last))

    return sensor


def partition_keys(
    partitions: dg.TimeWindowPartitionsDefinition, spans: Iterable[tuple[datetime, datetime]]
) -> list[str]:
    """The partitions that are over and touch a span, oldest first."""
    found: dict[str, None] = {}
    for begin, end in merge(sorted(spans)):
        first = max(begin, partitions.start)
        if first >= end:
            continue
        # The one that has the begin began before it; the others begin in the span.
        found[partitions.get_partition_key_for_timestamp(first.timestamp())] = None
        for each in partitions.get_partition_keys_in_time_window(dg.TimeWindow(first, end)):
            found[each] = None
    return [each for each in found if partitions.has_partition_key(each)]
