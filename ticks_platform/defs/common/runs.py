"""Runs as the sensors see them, and how long a sensor waits after runs that failed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import dagster as dg

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

LATEST = 12
"""Runs that are read: enough to count a crash loop up to its longest delay."""

SHORT_LIFE = 60.0
"""A run that failed before it was this many seconds old counts towards a crash loop."""

LONGEST_DELAY = 300.0
"""Seconds between tries in a crash loop, at the most."""

FEED_TAG = "ticks/feed"
"""On runs of the job `ingest`: the feed. dagster.yaml limits runs by it."""

FEEDS_TAG = "ticks/feeds"
"""On runs of a group, which `ticks/feed` names then: its feeds, as the definitions had them at the launch."""

# Tags that begin with `.dagster/` are not shown in the UI.
REFUSED_TAG = ".dagster/ticks_refused"
"""On a run that ended for a reason that only a change of settings can remove: `true`, or which feeds were refused."""

SUCCESSOR_TAG = ".dagster/ticks_successor_wanted"
"""On a run that is to be replaced while it goes on, with the reason."""

FOLLOW_TAG = "ticks/follows_because"
"""On a run that was launched to follow another run, with the reason."""


class RunView(NamedTuple):
    """What matters of a run; times are seconds since the Unix epoch."""

    run_id: str
    started: bool
    """STARTED or CANCELING."""
    failed: bool
    refused: bool
    """Whether it was refused; of a group, whether all feeds were that are enabled now."""
    created_at: float
    started_at: float | None
    ended_at: float | None
    wants_successor: str | None = None
    """Why it is to be handed over, where somebody has asked for that."""
    follows_because: str | None = None
    """Why it was launched beside another run."""
    feeds: tuple[str, ...] = ()
    """The feeds of a group's run."""
    refused_feeds: tuple[str, ...] = ()
    """Of a group's run."""
    has_process: bool = False
    """Whether a process is known to have begun to load the code for it; looked up by `with_process` alone."""


def is_in_location(run: dg.DagsterRun, location: str | None) -> bool:
    """Whether a run is of this code location; where one of both does not tell its location, it counts as such."""
    origin = run.remote_job_origin
    return origin is None or location is None or origin.location_name == location


def latest_runs(instance: dg.DagsterInstance, filters: dg.RunsFilter) -> list[RunView]:
    """The latest of these runs, newest first."""
    return [view(record) for record in instance.get_run_records(filters, limit=LATEST)]


def view(record: dg.RunRecord) -> RunView:
    """What matters of a run that was read."""
    run = record.dagster_run
    return RunView(
        run_id=run.run_id,
        started=run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
        failed=run.status is dg.DagsterRunStatus.FAILURE,
        refused=run.tags.get(REFUSED_TAG) == "true",
        created_at=record.create_timestamp.timestamp(),
        started_at=record.start_time,
        ended_at=record.end_time,
        wants_successor=run.tags.get(SUCCESSOR_TAG),
        follows_because=run.tags.get(FOLLOW_TAG),
        feeds=listed(run.tags.get(FEEDS_TAG)),
        refused_feeds=listed(run.tags.get(REFUSED_TAG)),
    )


def with_process(instance: dg.DagsterInstance, run: RunView) -> RunView:
    """The run, with what its log says of its process: a started run has one, one that waits in a queue has none."""
    if run.started:
        return run._replace(has_process=True)
    # Each launcher's process reports its id before it loads the code, which takes seconds.
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return run._replace(
        has_process=any(
            event.dagster_event is not None and "pid" in event.dagster_event.engine_event_data.metadata
            for event in events
        )
    )


def listed(tag: str | None) -> tuple[str, ...]:
    """The feeds that a tag names."""
    return tuple(tag.split(", ")) if tag else ()


def reason_to_wait(instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], *, busy: str) -> str | None:
    """Why no run of this job is to be launched now; None if one may be.

    Runs of any job with these tags exclude each other: `busy` is the reason then. After failed runs it waits longer and
    longer.
    """
    if instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT, tags=tags), limit=1):
        return busy
    # A run that worked for long before it failed counts as one that failed at once.
    finished = [
        run._replace(started_at=run.ended_at)
        for run in latest_runs(instance, dg.RunsFilter(job_name=job, statuses=FINISHED, tags=tags))
    ]
    wait = crash_wait(finished, now=time.time())
    return f"crash loop; retrying in {wait:.0f} s" if wait > 0 else None


def crash_wait(finished: Sequence[RunView], *, now: float) -> float:
    """Seconds that are left of the delay after the latest of these runs; 0 if there are none.

    A run that ended after now did so before this machine's clock was set back, so how long ago is unknown.
    """
    ended_at = finished[0].ended_at if finished else None
    return 0.0 if ended_at is None or ended_at > now else max(0.0, ended_at + crash_delay(finished) - now)


def crash_delay(finished: Sequence[RunView]) -> float:
    """Seconds to wait after the latest of these runs: none after one or two failures, then doubling up to a limit."""
    failures = 0
    for run in finished:
        if not run.failed or run.ended_at is None or run.ended_at - (run.started_at or run.ended_at) >= SHORT_LIFE:
            break
        failures += 1
    return 0.0 if failures < 3 else min(LONGEST_DELAY, 10.0 * 2.0 ** min(failures - 3, 16))
