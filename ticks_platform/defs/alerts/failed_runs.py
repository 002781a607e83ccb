"""The sensor `alert_failed_runs`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple

import dagster as dg

from ticks_platform.alerts.told import Told, Trouble
from ticks_platform.defs.alerts.posting import INTERVAL, AlertsResource, deliver, is_on, short
from ticks_platform.defs.common.runs import FEED_TAG, FINISHED, is_in_location

FAILED_CHECK = "DagsterAssetCheckFailedError"
"""The error of a step whose blocking check failed."""

REFUSED = "FeedRefusedError"
"""The error of a feed that its provider refuses: alert_troubles posts that."""

INTERRUPTED = "Execution was interrupted"
"""Dagster's message for a run that was ended from outside: Ctrl-C of `dagster dev`, SIGTERM at a deployment."""

OVERLAP = 60.0
"""Seconds that are looked at again: a run may be stored later than its end."""

MOST = 500
"""Runs of one look."""

_ASSET_JOB = "__ASSET_JOB"
"""Dagster's name of the job that materializes what somebody selected."""


@dg.definitions
def alert_failed_runs() -> dg.Definitions:
    """The sensor, where alerts are posted."""

    # Not a run_failure_sensor: that one never comes back to a run whose message could not be posted.
    @dg.sensor(
        name="alert_failed_runs",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts a job (of a feed) when its run fails, again when it still fails hours later, and when it succeeds "
            "again. Not a run that Ctrl-C or a terminating signal ended, although Dagster may call it failed as well; "
            "and not a run in which only checks failed, or whose feed is refused: other sensors post those. What "
            "cannot be posted now is posted later."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, ticks_alerts: AlertsResource) -> dg.SensorResult:
        place = Place.load(context.cursor)
        told = Told.load(place.told)
        runs = _ended_since(context, place)
        for run in runs:
            _judge(context.instance, run.dagster_run, told)
        note = deliver(told, ticks_alerts, sensor="alert_failed_runs", now=time.time())
        return dg.SensorResult(skip_reason=note, cursor=place.after(runs, told.dump()).dump())

    return dg.Definitions(sensors=[sensor] if is_on() else [])


class Place(NamedTuple):
    """How far runs have been looked at."""

    since: float
    """When the last of them ended, in seconds since the Unix epoch."""
    seen: dict[str, float]
    """Runs that ended within OVERLAP before that, and when."""
    told: str | None = None

    @classmethod
    def load(cls, cursor: str | None) -> Place:
        """Continue from a cursor; without one, or with an older release's, runs that end from now on count."""
        try:
            return cls(*json.loads(cursor or ""))
        except (ValueError, TypeError):
            return cls(time.time(), {})

    def dump(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(self)

    def after(self, runs: list[dg.RunRecord], told: str) -> Place:
        """The place after these runs."""
        ends = {record.dagster_run.run_id: record.end_time or self.since for record in runs}
        since = max([self.since, *ends.values()])
        seen = {run_id: end for run_id, end in {**self.seen, **ends}.items() if end > since - OVERLAP}
        return Place(since, seen, told)


def _ended_since(context: dg.SensorEvaluationContext, place: Place) -> list[dg.RunRecord]:
    """The runs of this code location that have ended since, oldest first."""
    ours, after = context.code_location_origin, place.since - OVERLAP
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=FINISHED, updated_after=datetime.fromtimestamp(after, tz=timezone.utc)),
        limit=MOST,
        order_by="update_timestamp",
        ascending=True,
    )
    # A run of long ago is updated when it gets a tag.
    found = [
        record
        for record in records
        if (record.end_time or 0.0) > after
        and record.dagster_run.run_id not in place.seen
        and is_in_location(record.dagster_run, ours.location_name if ours is not None else None)
    ]
    return sorted(found, key=lambda record: record.end_time or 0.0)


def _judge(instance: dg.DagsterInstance, run: dg.DagsterRun, told: Told) -> None:
    """Note whether this job works."""
    name = _name(run)
    if run.status is dg.DagsterRunStatus.SUCCESS:
        told.follow([], now=time.time(), is_unknown=lambda key: key != name)
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return
    message = _failure_message(instance, run)
    errors = list(_step_errors(instance, run))
    if is_interruption(message) or any(_is_of(error, REFUSED) for error in errors):
        return
    if errors and all(error is not None and error.cls_name == FAILED_CHECK for error in errors):
        return
    text = f"*{name}* failed, run `{run.run_id}`\n{short(_reason(errors, message))}"
    trouble = Trouble(name, text, over=f"*{name}* succeeds again")
    told.follow([trouble], now=time.time(), is_unknown=lambda key: key != name)


def is_interruption(message: str) -> bool:
    """Whether a run's failure means that it was ended from outside, after it had cleaned up."""
    return INTERRUPTED in message


def _name(run: dg.DagsterRun) -> str:
    feed = run.tags.get(FEED_TAG)
    if run.asset_selection:
        # One part of a job may fail while another one succeeds.
        assets = sorted(key.to_user_string() for key in run.asset_selection)
        some = f"{', '.join(assets[:5])}{' …' if len(assets) > 5 else ''}"
        return f"materialization of {some}" if run.job_name == _ASSET_JOB else f"{run.job_name} ({some})"
    return f"{run.job_name} ({feed})" if feed else run.job_name


def _failure_message(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE, limit=1, ascending=False)
    return next((record.event_log_entry.get_dagster_event().message or "" for record in found.records), "")


def _step_errors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[Any]:
    """The error of each step that failed, where it has one."""
    for record in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        yield getattr(record.event_log_entry.get_dagster_event().event_specific_data, "error", None)


def _is_of(error: Any, name: str) -> bool:
    """Whether an error, or what caused it, is of this class."""
    while error is not None:
        if error.cls_name == name:
            return True
        error = error.cause
    return False


def _reason(errors: list[Any], message: str) -> str:
    """The error that a step failed with, and its cause."""
    for error in errors:
        # The outermost error is Dagster's own: an op failed.
        cause = getattr(error, "cause", None) or error
        if cause is not None:
            return str(cause.message)
    return message
