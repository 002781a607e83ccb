"""The sensor `alert_failed_checks`."""

import time

import dagster as dg

from ticks_platform.alerts.told import Told, Trouble
from ticks_platform.defs.alerts.posting import INTERVAL, AlertsResource, deliver, is_on, short

TOLD_BY_TROUBLES = frozenset(("channels_are_streaming", "clocks_are_right", "ticks_are_fresh"))
"""Checks of `stocks_real_time` whose findings `alert_troubles` posts, feed by feed."""


@dg.definitions
def alert_failed_checks() -> dg.Definitions:
    """The sensor, where alerts are posted."""

    @dg.sensor(
        name="alert_failed_checks",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a check when it begins to fail, while it fails after 1 hour, 4 more hours and then every day, and "
            "when it passes again; not each time that it fails. Not those whose findings alert_troubles posts. What "
            "cannot be posted now is posted later."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, ticks_alerts: AlertsResource) -> dg.SensorResult:
        told = Told.load(context.cursor)
        graph = context.repository_def.asset_graph if context.repository_def else None
        failing, judged = [], set()
        for key in sorted(graph.asset_check_keys if graph else [], key=dg.AssetCheckKey.to_user_string):
            if key.asset_key == dg.AssetKey("stocks_real_time") and key.name in TOLD_BY_TROUBLES:
                continue
            evaluation = _latest(context.instance, key)
            if evaluation is None:
                continue
            name = key.to_user_string()
            judged.add(name)
            if not evaluation.passed:
                failing.append(_trouble(name, evaluation))
        now = time.time()
        told.follow(failing, now=now, is_unknown=lambda name: name not in judged)
        return dg.SensorResult(
            skip_reason=deliver(told, ticks_alerts, sensor="alert_failed_checks", now=now), cursor=told.dump()
        )

    return dg.Definitions(sensors=[sensor] if is_on() else [])


def _latest(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The check's newest result; None while it runs, when it never ran, or when its run ended before it was judged.

    A run that was killed, or marked as failed from outside, says nothing of its checks.
    """
    record = instance.get_latest_asset_check_evaluation_record(key)
    event = record.event.dagster_event if record is not None and record.event is not None else None
    data = event.event_specific_data if event is not None else None
    return data if isinstance(data, dg.AssetCheckEvaluation) else None


def _trouble(name: str, evaluation: dg.AssetCheckEvaluation) -> Trouble:
    severity = evaluation.severity
    words = short(evaluation.description or "no description")
    return Trouble(
        name,
        f"check *{name}* fails ({severity.value}): {words}",
        warning=severity is dg.AssetCheckSeverity.WARN,
        over=f"check *{name}* passes again",
    )
