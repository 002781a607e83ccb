"""The sensor `keep_daily_results`: what is checked once a day is not shown as outdated for the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.defs.checks.table import CHECKS
from ticks_platform.timescale.candles.candles import ONE_MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

JOB = "check_every_tick"
INTERVAL = 15
"""Seconds between looks. After the first start, checks are grey until they have run, once there are candles."""

LOOKS = 40
"""Looks, which take ten minutes, after which a run that ended without a result is followed by another one."""

CHECKED_AT = "checked at"
"""Metadata of a result that is reported again: when it was found."""

WITHOUT_A_RUN = ""
"""The run, as Dagster stores it, of what is reported without one."""

KEYS = [dg.AssetCheckKey(dg.AssetKey(asset), check.name) for check in CHECKS if check.daily for asset in check.assets]
"""The checks that run once a day."""


@dg.definitions
def keep_daily_results() -> dg.Definitions:
    """The sensor."""

    @dg.sensor(
        name="keep_daily_results",
        job_name=JOB,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Reports the results of {JOB} once more, without a run, so that the pages of assets, which report "
            "themselves every few minutes, go on showing them, with the time at which they were found. Launches that "
            "job when it has never run, as after the first start, and once more where it ended without a result."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(KEYS)
        if found:
            again = [event for record in found.values() if (event := _again(record)) is not None]
            words = f"{len(again)} results of {JOB} are reported again" if again else "no new result"
            requests, cursor = _launch_again(context, found.values())
            return dg.SensorResult(
                run_requests=requests, asset_events=again, cursor=cursor, skip_reason=None if requests else words
            )
        report = context.instance.get_latest_materialization_event(dg.AssetKey(ONE_MINUTE.name))
        # Not in the first minute: the feed and its candles start then.
        if report is None or report.run_id != WITHOUT_A_RUN:
            return dg.SensorResult(skip_reason="nothing has been reported yet")
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key="first")])

    return dg.Definitions(sensors=[sensor])


def _launch_again(
    context: dg.SensorEvaluationContext, records: Iterable[AssetCheckExecutionRecord]
) -> tuple[list[dg.RunRequest], str]:
    """A launch after the last run ended without a result, as one that was killed or could not begin; and the cursor.

    After some looks, since what kept that run from its result may last.
    """
    ended = ""
    for record in records:
        if not isinstance(record.evaluation, dg.AssetCheckEvaluation):
            run = context.instance.get_run_by_id(record.run_id)
            if run is None or run.is_finished:
                ended = record.run_id
    if not ended:
        return [], ""
    run_id, _, looks = (context.cursor or "").partition(" ")
    seen = int(looks) + 1 if run_id == ended else 1
    requests = [dg.RunRequest(run_key=f"after {ended}")] if seen >= LOOKS else []
    return requests, f"{ended} {seen}"


def _again(record: AssetCheckExecutionRecord) -> dg.AssetCheckEvaluation | None:
    """The result of a run, to be reported without one; None where it was, or where there is none.

    Dagster shows a result as one for the latest materialization where both are of one run, and all that is reported
    without a run counts as such.
    """
    found = record.evaluation
    # Of a run that has not evaluated it, the record has the plan.
    if record.run_id == WITHOUT_A_RUN or not isinstance(found, dg.AssetCheckEvaluation):
        return None
    metadata = {**found.metadata, CHECKED_AT: dg.MetadataValue.timestamp(record.create_timestamp)}
    return dg.AssetCheckEvaluation(
        asset_key=found.asset_key,
        check_name=found.check_name,
        passed=found.passed,
        severity=found.severity,
        description=found.description,
        metadata=metadata,
        blocking=found.blocking,
    )
