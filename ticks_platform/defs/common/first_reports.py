"""What assets say that have nothing to do yet, so that they are not shown as missing."""

from collections.abc import Sequence

import dagster as dg

from ticks_platform.defs.common.labels import LIVE, as_in_sync

WAITING = {
    "instrument_reference": "nothing yet: the schedule keep_instruments asks the providers that have reference data",
    "corporate_actions": "nothing yet: the schedule follow_corporate_actions asks the providers every four hours",
    "true_up": "nothing yet: the sensor true_up_days checks a trading day once it is over",
    "gap_repair": "nothing yet: the sensor repair_gaps repairs gaps once the provider has what is missing",
}
"""Assets that schedules and sensors materialize once there is something to do."""

SOURCES = {
    "instrument_reference": "stocks_real_time",
    "corporate_actions": "stocks_real_time",
    "true_up": "feed_gaps",
    "gap_repair": "feed_gaps",
}


def report_first(instance: dg.DagsterInstance, *assets: str, partitions: Sequence[str] | None = None) -> None:
    """Materialize those of the assets, or of their partitions, that never were: without a run, and in words."""
    for asset in assets:
        if partitions is None:
            if instance.get_latest_materialization_event(dg.AssetKey(asset)) is None:
                _report(instance, asset, None)
            continue
        made = instance.get_materialized_partitions(dg.AssetKey(asset))
        for partition in partitions:
            if partition not in made:
                _report(instance, asset, partition)


def _report(instance: dg.DagsterInstance, asset: str, partition: str | None) -> None:
    tags, metadata = as_in_sync({SOURCES[asset]: LIVE.value}), {"so far": WAITING[asset]}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=tags)
    )
