"""The sensor `alert_failed_checks`."""

import json
from collections.abc import Iterable

import dagster as dg

from ticks_platform.alerts import webhook
from ticks_platform.defs.alerts.posting import INTERVAL, AlertsResource, is_on, short


@dg.definitions
def alert_failed_checks() -> dg.Definitions:
    """The sensor, where alerts are posted."""

    @dg.sensor(
        name="alert_failed_checks",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a check when it begins to fail and when it passes again, not each time that it fails. What cannot "
            "be posted now is posted later."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, ticks_alerts: AlertsResource) -> dg.SensorResult:
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        graph = context.repository_def.asset_graph if context.repository_def else None
        states, changes = dict(known), []
        for key in sorted(graph.asset_check_keys if graph else [], key=dg.AssetCheckKey.to_user_string):
            evaluation = _latest(context.instance, key)
            if evaluation is None:
                continue
            name, state = key.to_user_string(), _state(evaluation)
            states[name] = state
            if state != known.get(name, "passed"):
                changes.append(_change(name, state, evaluation))
        if not changes:
            return dg.SensorResult(skip_reason="no check has changed", cursor=json.dumps(states))
        # The cursor moves only if this does not raise.
        ticks_alerts.post("\n".join(_within(changes)))
        return dg.SensorResult(skip_reason=f"posted: {len(changes)} changes", cursor=json.dumps(states))

    return dg.Definitions(sensors=[sensor] if is_on() else [])


def _latest(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The check's newest result; None while it runs or when it never ran. A check that raises fails its run."""
    record = instance.get_latest_asset_check_evaluation_record(key)
    event = record.event.dagster_event if record is not None and record.event is not None else None
    data = event.event_specific_data if event is not None else None
    return data if isinstance(data, dg.AssetCheckEvaluation) else None


def _state(evaluation: dg.AssetCheckEvaluation) -> str:
    return "passed" if evaluation.passed else evaluation.severity.value


def _change(name: str, state: str, evaluation: dg.AssetCheckEvaluation) -> str:
    symbol = {"passed": ":large_green_circle:", "WARN": ":large_yellow_circle:"}.get(state, ":red_circle:")
    verb = "passes again" if state == "passed" else f"fails ({state})"
    return f"{symbol} check *{name}* {verb}: {short(evaluation.description or 'no description')}"


def _within(lines: list[str]) -> Iterable[str]:
    """As many of these lines as fit into a message, and how many more there are."""
    length = 0
    for index, line in enumerate(lines):
        length += len(line) + 1
        if length > webhook.LONGEST_TEXT - 100:
            yield f"… and {len(lines) - index} more; see the checks in Dagster's UI"
            return
        yield line
