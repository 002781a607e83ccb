"""The supervisor: launches bring_up while something is missing, and keeps one ingest run alive per enabled feed."""

import contextlib
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import dagster as dg

from ticks_platform.defs.common.bring_up import BROUGHT_UP, bring_up, missing_objects, unreachable
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.common.runs import FEED_TAG, FINISHED, FOLLOW_TAG, IN_FLIGHT, RunView, crash_wait, latest_runs
from ticks_platform.defs.ingestion.decisions import HEARTBEAT_GRACE, Act, Watch, decide
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch

logger = logging.getLogger(__name__)

INTERVAL = 4
"""Seconds. Dagster's sensor loop turns every 5 s; an interval of 5 misses every other turn when one comes early."""

_NAMED = 3
"""Names of missing objects in a message."""


def platform_supervisor(
    *, ingest: dg.JobDefinition, settings: PlatformSettings, loaded_at: float, corrects: Sequence[Path] = ()
) -> dg.SensorDefinition:
    """The sensor. `loaded_at` is when the definitions were loaded: a refused feed is tried again after a reload, or a
    change of one of the files `corrects`, and runs of feeds that follow reloads are handed over to new ones."""
    feeds = [feed.name for feed in settings.feeds]
    follow_reloads = [feed.name for feed in settings.feeds if feed.follows_reloads]

    @dg.sensor(
        name="platform_supervisor",
        jobs=[bring_up, ingest],
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Launches bring_up while something is missing in the database, then keeps exactly one ingest run alive for "
            "every feed that is switched on. A run counts as alive while the heartbeat of its lease moves. A run that "
            "is to be replaced (by the job hand_over, after a reload of the code, with other settings) continues until "
            "its successor has taken over. A feed that something else ingests, such as another Dagster instance or a "
            "replay, is left alone meanwhile."
        ),
    )
    def supervisor(context: dg.SensorEvaluationContext, ticks_database: DatabaseResource) -> dg.SensorResult:
        try:
            return _evaluate(context, ticks_database, feeds, loaded_at, follow_reloads, _changed_at(corrects))
        except UNREACHABLE as error:
            return dg.SensorResult(skip_reason=unreachable(error), cursor=context.cursor)

    return supervisor


def _evaluate(
    context: dg.SensorEvaluationContext,
    ticks_database: DatabaseResource,
    feeds: Sequence[str],
    loaded_at: float,
    follow_reloads: Collection[str],
    corrected_at: float,
) -> dg.SensorResult:
    now = time.time()
    with ticks_database.transaction() as cursor:
        missing = missing_objects(cursor)
        if not missing:
            # Fails where nobody can write: then no run can send a heartbeat, and silence says nothing.
            cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at WHERE false")
            off = switch.disabled(cursor, feeds)
            held = {feed: leases.status(cursor, feed) for feed in feeds}
            working = {feed for feed in feeds if leases.loader_is_active(cursor, feed)}
    unseen = missing or _never_materialized(context)
    requests = _bring_up(context, unseen, now) if unseen else []
    if missing:
        return _result(requests, [f"not created yet: {', '.join(missing)}"], context.cursor)

    def runs(feed: str, statuses: list[dg.DagsterRunStatus]) -> list[RunView]:
        return latest_runs(context.instance, dg.RunsFilter(statuses=statuses, tags={FEED_TAG: feed}))

    in_flight = {feed: runs(feed, IN_FLIGHT) for feed in feeds}
    # A run that waits for a lock, or for a large commit, cannot send heartbeats.
    beats = {
        lease.owner: f"at work at {now}" if feed in working else lease.heartbeat_at.isoformat()
        for feed, lease in held.items()
        if lease is not None
    }
    watch = Watch.resume(context.cursor, now=now)
    started = [run.run_id for found in in_flight.values() for run in found if run.started]
    foreign = {feed: lease for feed, lease in held.items() if lease is not None and _is_foreign(context, lease)}
    signs = {run_id: watch.look(run_id, beats.get(run_id)) for run_id in started}
    for feed, lease in foreign.items():
        # Its last commit may be old where it is at work on a large batch.
        signs[lease.owner] = watch.look(lease.owner, beats[lease.owner], age=0.0 if feed in working else lease.age)
    watch = watch._replace(signs=signs)
    notes = []
    for feed in feeds:
        ended = runs(feed, FINISHED)
        decision = decide(
            now=now,
            enabled=feed not in off,
            in_flight=in_flight[feed],
            finished=ended,
            watch=watch,
            loaded_at=loaded_at,
            foreign=foreign[feed].owner if feed in foreign else None,
            follows_reloads=feed in follow_reloads,
            corrected_at=corrected_at,
        )
        for run_id in decision.dead:
            _report_dead(context, run_id)
        if decision.act is not Act.NOTHING:
            context.log.info(f"feed '{feed}': {decision.reason}; launching a run")
            if decision.act is Act.REPLACE:
                _say_killed(feed, decision.dead[0])
            elif decision.act is Act.LAUNCH and ended and _was_killed(context, ended[0]):
                _say_killed(feed, ended[0].run_id)
            # No run key: it would be remembered for ever, and the feed could be launched only once.
            tags = {FEED_TAG: feed} if decision.because is None else {FEED_TAG: feed, FOLLOW_TAG: decision.because}
            requests.append(dg.RunRequest(job_name="ingest", partition_key=feed, tags=tags))
        notes.append(f"{feed}: {decision.reason}")
    return _result(requests, notes, watch.dump())


def _changed_at(files: Sequence[Path]) -> float:
    """When one of these files was changed last, in seconds since the Unix epoch; 0 if there is none."""
    found = [0.0]
    for file in files:
        with contextlib.suppress(OSError):
            found.append(file.stat().st_mtime)
    return max(found)


def _result(requests: list[dg.RunRequest], notes: Sequence[str], cursor: str | None) -> dg.SensorResult:
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=cursor)
    return dg.SensorResult(skip_reason="; ".join(notes), cursor=cursor)


def _bring_up(context: dg.SensorEvaluationContext, missing: Sequence[str], now: float) -> list[dg.RunRequest]:
    if latest_runs(context.instance, dg.RunsFilter(job_name=bring_up.name, statuses=IN_FLIGHT)):
        return []
    finished = latest_runs(context.instance, dg.RunsFilter(job_name=bring_up.name, statuses=FINISHED))
    if crash_wait(finished, now=now):
        return []
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    context.log.info(f"bringing up: {', '.join(missing[:_NAMED])}{more}")
    return [dg.RunRequest(job_name=bring_up.name)]


def _never_materialized(context: dg.SensorEvaluationContext) -> list[str]:
    """Assets that this Dagster instance has never seen materialized, as with a new instance on an old database."""
    if context.repository_def is None:
        return []
    keys = BROUGHT_UP.resolve(context.repository_def.asset_graph)
    records = context.instance.get_asset_records(list(keys))
    seen = {record.asset_entry.asset_key for record in records if record.asset_entry.last_materialization}
    return sorted(key.to_user_string() for key in keys - seen)


def _is_foreign(context: dg.SensorEvaluationContext, lease: leases.LeaseStatus) -> bool:
    """Whether the lease's owner is not known here, not even as a run that has ended."""
    return not lease.released and context.instance.get_run_by_id(lease.owner) is None


def _was_killed(context: dg.SensorEvaluationContext, run: RunView) -> bool:
    """Whether a run that had begun was declared failed from outside: one that fails by itself says why."""
    if not run.failed or run.started_at is None:
        return False
    ends = context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    return any(end.dagster_event and end.dagster_event.event_specific_data is None for end in ends)


def _say_killed(feed: str, run_id: str) -> None:
    """In the output of the code location's process, where the run itself could say nothing."""
    logger.warning(
        "feed '%s': run %s was killed, or hung; another one is launched, and loads what that one left in its journal",
        feed,
        run_id[:8],
    )


def _report_dead(context: dg.SensorEvaluationContext, run_id: str) -> None:
    run = context.instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        # Not declared public, but Dagster's own run monitoring calls it; there is no public way.
        context.instance.report_run_failed(
            run, f"run presumed dead: no heartbeat for more than {HEARTBEAT_GRACE:.0f} s"
        )
