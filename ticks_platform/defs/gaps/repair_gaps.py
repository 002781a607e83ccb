"""The sensor `repair_gaps`, which repairs gaps by itself, and the job that it launches."""

import dagster as dg

from ticks_platform.defs.common.bring_up import reason_to_skip, unreachable
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import MAX_RUNTIME
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource, IngestionResource
from ticks_platform.defs.common.runs import reason_to_wait
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.repair import repair

REPAIR_TAG = "ticks/repair"
"""On runs that repair a feed or true it up: its name. dagster.yaml limits runs by it."""

JOB = "repair"

INTERVAL = 30
"""Seconds between looks at what there is to repair."""


@dg.definitions
def repair_gaps() -> dg.Definitions:
    """The job `repair` and the sensor `repair_gaps` over the feeds of feeds.yaml."""
    feeds = feed_settings().feeds
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets("gap_repair"),
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description="Repairs the gaps of one feed; launched by the sensor repair_gaps.",
    )

    @dg.sensor(
        name="repair_gaps",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Repairs gaps: one run at a time per feed, once its gaps are old enough for the provider to have the "
            "missing data, and the feed's budget allows a request. After failed runs it waits longer and longer."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> dg.SensorResult | dg.SkipReason:
        skip = reason_to_skip(ticks_database)
        if skip is not None:
            return skip
        try:
            decisions = {feed.name: _decide(context, ticks_database, ticks_ingestion, feed) for feed in feeds}
        except UNREACHABLE as error:
            return unreachable(error)
        # No run key: it would be remembered for ever.
        requests = [
            dg.RunRequest(partition_key=name, tags={REPAIR_TAG: name})
            for name, (launch, _) in decisions.items()
            if launch
        ]
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SkipReason("; ".join(f"{name}: {reason}" for name, (_, reason) in decisions.items()))

    return dg.Definitions(jobs=[job], sensors=[sensor])


def _decide(
    context: dg.SensorEvaluationContext,
    ticks_database: DatabaseResource,
    ticks_ingestion: IngestionResource,
    feed: FeedSettings,
) -> tuple[bool, str]:
    if not feed.repair.enabled:
        return False, "repair is switched off"
    reason = reason_to_wait(context.instance, JOB, {REPAIR_TAG: feed.name}, busy="being repaired")
    if reason is not None:
        return False, reason
    try:
        history = ticks_ingestion.history(feed)
    except SettingsError as error:
        return False, str(error)
    found = repair.due(ticks_database.database, feed, history)
    return found.is_due, found.reason
