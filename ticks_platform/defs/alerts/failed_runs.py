"""The sensor `alert_failed_runs`."""

import dagster as dg

from ticks_platform.defs.alerts.posting import INTERVAL, AlertsResource, is_on, short
from ticks_platform.defs.common.runs import FEED_TAG, FINISHED

FAILED_CHECK = "DagsterAssetCheckFailedError"
"""The error of a step whose blocking check failed."""

INTERRUPTED = "Execution was interrupted"
"""Dagster's message for a run that was ended from outside: Ctrl-C of `dagster dev`, SIGTERM at a deployment."""


@dg.definitions
def alert_failed_runs() -> dg.Definitions:
    """The sensor, where alerts are posted."""

    @dg.run_failure_sensor(
        name="alert_failed_runs",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a run that failed. Not a run that Ctrl-C or a terminating signal ended, although Dagster calls it "
            "failed as well; not a run whose job (and feed) failed the time before, too; and not a run in which only "
            "checks failed: alert_failed_checks posts those."
        ),
    )
    def sensor(context: dg.RunFailureSensorContext, ticks_alerts: AlertsResource) -> dg.SkipReason | None:
        run, message = context.dagster_run, context.failure_event.message or ""
        if is_interruption(message):
            return dg.SkipReason(f"run {run.run_id[:8]} was interrupted")
        if _only_checks_failed(context):
            return dg.SkipReason(f"only checks failed in run {run.run_id[:8]}")
        if _failed_before(context.instance, run):
            return dg.SkipReason(f"{_name(run)} failed the time before, too")
        ticks_alerts.post(f":red_circle: *{_name(run)}* failed, run `{run.run_id}`\n{short(_reason(context, message))}")
        return None

    return dg.Definitions(sensors=[sensor] if is_on() else [])


def is_interruption(message: str) -> bool:
    """Whether a run's failure means that it was ended from outside, after it had cleaned up."""
    return INTERRUPTED in message


def _name(run: dg.DagsterRun) -> str:
    feed = run.tags.get(FEED_TAG)
    return f"{run.job_name} ({feed})" if feed else run.job_name


def _reason(context: dg.RunFailureSensorContext, message: str) -> str:
    """The error that a step failed with, and its cause."""
    for event in context.get_step_failure_events():
        error = getattr(event.event_specific_data, "error", None)
        # The outermost error is Dagster's own: an op failed.
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
    records = instance.get_run_records(dg.RunsFilter(job_name=run.job_name, statuses=FINISHED, tags=tags), limit=20)
    ids = [record.dagster_run.run_id for record in records]
    before = records[ids.index(run.run_id) + 1 :] if run.run_id in ids else []
    if not before or before[0].dagster_run.status is not dg.DagsterRunStatus.FAILURE:
        return False
    events = instance.get_records_for_run(
        before[0].dagster_run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE, limit=1, ascending=False
    )
    messages = [record.event_log_entry.get_dagster_event().message or "" for record in events.records]
    return not any(is_interruption(message) for message in messages)
