"""Alerts: failed runs and failed checks, posted to one webhook; none without TICKS_ALERT_WEBHOOK."""

import html
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from ticks_platform.alerts import webhook
from ticks_platform.defs.ingestion import FEED_TAG

INTERVAL = 30
"""Seconds between looks at the checks."""
LONGEST_REASON = 500
"""Characters of one run's or one check's own message."""

FAILED_CHECK = "DagsterAssetCheckFailedError"
"""The error of a step whose blocking check failed."""

INTERRUPTED = "Execution was interrupted"
"""What Dagster writes of a run that was ended from outside: Ctrl-C of `dagster dev`, SIGTERM at a deployment."""


class AlertsResource(dg.ConfigurableResource[None]):
    """The webhook that alerts are posted to."""

    url: str = Field(description=f"A webhook that takes Slack's JSON, from {webhook.VARIABLE}.")

    def post(self, text: str) -> None:
        """Post a text. Raises WebhookError, which never shows the webhook."""
        webhook.post(self.url, text)


def resources() -> Mapping[str, Any]:
    """The resource of the sensors; its value, a secret, is never shown."""
    return {"alerts": AlertsResource(url=dg.EnvVar(webhook.VARIABLE))} if _wanted() else {}


def sensors() -> list[dg.SensorDefinition]:
    """The sensors; none where the variable is not set."""
    return [failed_runs(), failed_checks()] if _wanted() else []


def _wanted() -> bool:
    return bool(os.environ.get(webhook.VARIABLE))


def failed_runs() -> dg.SensorDefinition:
    """The sensor `alert_failed_runs`."""

    @dg.run_failure_sensor(
        name="alert_failed_runs",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a run that failed. Not one that Ctrl-C or a terminating signal ended, although Dagster calls it "
            "failed as well, not one whose job (and feed) had failed the time before, which is known, and not one in "
            "which nothing but checks failed: alert_failed_checks posts those."
        ),
    )
    def sensor(context: dg.RunFailureSensorContext, alerts: AlertsResource) -> dg.SkipReason | None:
        run, message = context.dagster_run, context.failure_event.message or ""
        if is_interruption(message):
            return dg.SkipReason(f"run {run.run_id[:8]} was interrupted")
        if _only_checks_failed(context):
            return dg.SkipReason(f"nothing but checks failed in run {run.run_id[:8]}")
        if _failed_before(context.instance, run):
            return dg.SkipReason(f"{_name(run)} had failed before as well")
        alerts.post(f":red_circle: *{_name(run)}* failed, run `{run.run_id}`\n{_short(_reason(context, message))}")
        return None

    return sensor


def is_interruption(message: str) -> bool:
    """Whether a run's failure is that it was ended from outside, after it had cleaned up."""
    return INTERRUPTED in message


def _name(run: dg.DagsterRun) -> str:
    feed = run.tags.get(FEED_TAG)
    return f"{run.job_name} ({feed})" if feed else run.job_name


def _reason(context: dg.RunFailureSensorContext, message: str) -> str:
    """The error that a step failed with: its own, and what had caused it."""
    for event in context.get_step_failure_events():
        error = getattr(event.event_specific_data, "error", None)
        # The outermost one is Dagster's own: an op failed.
        error = getattr(error, "cause", None) or error
        if error is not None:
            return str(error.message)
    return message


def _only_checks_failed(context: dg.RunFailureSensorContext) -> bool:
    errors = [getattr(event.event_specific_data, "error", None) for event in context.get_step_failure_events()]
    return bool(errors) and all(getattr(error, "cls_name", None) == FAILED_CHECK for error in errors)


def _failed_before(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run before this one, of the same job and feed, failed too, and not by an interruption."""
    tags = {FEED_TAG: run.tags[FEED_TAG]} if FEED_TAG in run.tags else {}
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(job_name=run.job_name, statuses=finished, tags=tags), limit=20)
    ids = [record.dagster_run.run_id for record in records]
    before = records[ids.index(run.run_id) + 1 :] if run.run_id in ids else []
    if not before or before[0].dagster_run.status is not dg.DagsterRunStatus.FAILURE:
        return False
    events = instance.get_records_for_run(
        before[0].dagster_run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE, limit=1, ascending=False
    )
    messages = [record.event_log_entry.get_dagster_event().message or "" for record in events.records]
    return not any(is_interruption(message) for message in messages)


def failed_checks() -> dg.SensorDefinition:
    """The sensor `alert_failed_checks`."""

    @dg.sensor(
        name="alert_failed_checks",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a check when it begins to fail and when it passes again, not each time that it fails. What could "
            "not be posted is posted later."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, alerts: AlertsResource) -> dg.SensorResult:
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
        alerts.post("\n".join(_within(changes)))
        return dg.SensorResult(skip_reason=f"posted: {len(changes)} changes", cursor=json.dumps(states))

    return sensor


def _latest(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The check's newest result; None while it runs or when it never ran. One that could not run fails its run."""
    record = instance.get_latest_asset_check_evaluation_record(key)
    event = record.event.dagster_event if record is not None and record.event is not None else None
    data = event.event_specific_data if event is not None else None
    return data if isinstance(data, dg.AssetCheckEvaluation) else None


def _state(evaluation: dg.AssetCheckEvaluation) -> str:
    return "passed" if evaluation.passed else evaluation.severity.value


def _change(name: str, state: str, evaluation: dg.AssetCheckEvaluation) -> str:
    symbol = {"passed": ":large_green_circle:", "WARN": ":large_yellow_circle:"}.get(state, ":red_circle:")
    verb = "passes again" if state == "passed" else f"fails ({state})"
    return f"{symbol} check *{name}* {verb}: {_short(evaluation.description or 'no description')}"


def _within(lines: list[str]) -> Iterable[str]:
    """As many of these lines as fit into a message, and how many more there are."""
    length = 0
    for index, line in enumerate(lines):
        length += len(line) + 1
        if length > webhook.LONGEST_TEXT - 100:
            yield f"… and {len(lines) - index} more; see the checks in Dagster's UI"
            return
        yield line


def _short(text: str) -> str:
    """One line of bounded length, in which Slack finds no mention and no link."""
    text = " ".join(text.split())
    return html.escape(text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 2] + " …", quote=False)
