"""The supervisor: brings up what is missing, and keeps one ingestion run alive per feed that is wanted."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import dagster as dg

from ticks_platform.defs.assets import bring_up
from ticks_platform.defs.ingestion import FEED_TAG, FOLLOW_TAG, REFUSED_TAG, SUCCESSOR_TAG
from ticks_platform.defs.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.supervision import Act, RunView, Watch, crash_delay, decide
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch
from ticks_platform.timescale import sql_files, tables

INTERVAL = 4
"""Seconds. Dagster's sensor loop turns every 5 s; an interval of 5 misses every other turn when one comes early."""

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

OBJECTS = (
    "stocks_real_time",
    "stock_quotes",
    "stock_aggregates",
    "company",
    "one_minute_candle",
    "one_hour_candle",
    "one_day_candle",
    "one_minute_candle_volume",
    "one_minute_candle_filled",
    "session_day_candle",
    *(f"ticks_platform.{Path(file).stem}" for file in sql_files.MACHINERY[1:]),
)
"""Tables whose absence means that the platform has to be brought up. The first file of the machinery is its schema."""


def platform_supervisor(
    *, ingest: dg.JobDefinition, feeds: Sequence[str], loaded_at: float, follow_reloads: Collection[str] = ()
) -> dg.SensorDefinition:
    """The sensor. `loaded_at` is when the definitions were loaded: a refused feed is tried again after a reload, and
    the runs of the feeds `follow_reloads` are handed over to new ones."""

    @dg.sensor(
        name="platform_supervisor",
        jobs=[bring_up, ingest],
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Launches bring_up while something is missing in the database, then keeps exactly one ingest run alive for "
            "every feed that is switched on. A run counts as alive while the heartbeat of its lease moves. One that is "
            "to be replaced, on the job hand_over, after a reload of the code or with other settings, goes on until "
            "its successor has taken over. A feed that somebody else ingests, such as another Dagster instance or a "
            "replay, is left alone for as long."
        ),
    )
    def supervisor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
        try:
            return _evaluate(context, database, feeds, loaded_at, follow_reloads)
        except UNREACHABLE as error:
            reason = f"the database cannot be reached: {str(error).strip()}"
            return dg.SensorResult(skip_reason=reason, cursor=context.cursor)

    return supervisor


def _evaluate(
    context: dg.SensorEvaluationContext,
    database: DatabaseResource,
    feeds: Sequence[str],
    loaded_at: float,
    follow_reloads: Collection[str],
) -> dg.SensorResult:
    now = time.time()
    with database.transaction() as cursor:
        missing = tables.missing(cursor, OBJECTS)
        if not missing:
            # Fails where nobody can write: then no run can beat, and silence says nothing.
            cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at WHERE false")
            off = switch.disabled(cursor, feeds)
            held = {feed: leases.status(cursor, feed) for feed in feeds}
            working = {feed for feed in feeds if leases.is_working(cursor, feed)}
    unseen = missing or _never_materialized(context)
    requests = _bring_up(context, unseen, now) if unseen else []
    if missing:
        return _result(requests, [f"missing in the database: {', '.join(missing)}"], context.cursor)

    in_flight = {feed: _runs(context, dg.RunsFilter(statuses=IN_FLIGHT, tags={FEED_TAG: feed})) for feed in feeds}
    # A run that waits for a lock, or for a large commit, cannot beat either.
    beats = {
        lease.owner: f"at work at {now}" if feed in working else lease.heartbeat_at.isoformat()
        for feed, lease in held.items()
        if lease is not None
    }
    watch = Watch.resume(context.cursor, now=now)
    started = [run.run_id for runs in in_flight.values() for run in runs if run.started]
    foreign = {feed: lease for feed, lease in held.items() if lease is not None and _is_foreign(context, lease)}
    signs = {run_id: watch.look(run_id, beats.get(run_id)) for run_id in started}
    for feed, lease in foreign.items():
        # What it last committed may be old where it is at work on a large batch.
        signs[lease.owner] = watch.look(lease.owner, beats[lease.owner], age=0.0 if feed in working else lease.age)
    watch = watch._replace(signs=signs)
    notes = []
    for feed in feeds:
        decision = decide(
            now=now,
            wanted=feed not in off,
            in_flight=in_flight[feed],
            finished=_runs(context, dg.RunsFilter(statuses=FINISHED, tags={FEED_TAG: feed})),
            watch=watch,
            loaded_at=loaded_at,
            foreign=foreign[feed].owner if feed in foreign else None,
            follows_reloads=feed in follow_reloads,
        )
        for run_id in decision.dead:
            _report_dead(context, run_id)
        if decision.act is not Act.NOTHING:
            context.log.info(f"feed '{feed}': {decision.reason}; launching a run")
            # No run key: it would be remembered for ever, and the feed could be launched only once.
            tags = {FEED_TAG: feed} if decision.because is None else {FEED_TAG: feed, FOLLOW_TAG: decision.because}
            requests.append(dg.RunRequest(job_name="ingest", partition_key=feed, tags=tags))
        notes.append(f"{feed}: {decision.reason}")
    return _result(requests, notes, watch.dump())


def _result(requests: list[dg.RunRequest], notes: Sequence[str], cursor: str | None) -> dg.SensorResult:
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=cursor)
    return dg.SensorResult(skip_reason="; ".join(notes), cursor=cursor)


def _bring_up(context: dg.SensorEvaluationContext, missing: Sequence[str], now: float) -> list[dg.RunRequest]:
    if _runs(context, dg.RunsFilter(job_name=bring_up.name, statuses=IN_FLIGHT)):
        return []
    finished = _runs(context, dg.RunsFilter(job_name=bring_up.name, statuses=FINISHED))
    ended_at = finished[0].ended_at if finished else None
    if ended_at is not None and now < ended_at + crash_delay(finished):
        return []
    context.log.info(f"bringing up: {', '.join(missing)}")
    return [dg.RunRequest(job_name=bring_up.name)]


def _never_materialized(context: dg.SensorEvaluationContext) -> list[str]:
    """Assets that this Dagster instance has never seen materialized, as with a new instance on an old database."""
    definition = context.repository_def
    if definition is None:
        return []
    # What has partitions is materialized by users.
    keys = {
        key
        for key, asset in definition.assets_defs_by_key.items()
        if asset.is_materializable and asset.partitions_def is None
    }
    records = context.instance.get_asset_records(list(keys))
    seen = {record.asset_entry.asset_key for record in records if record.asset_entry.last_materialization}
    return sorted(key.to_user_string() for key in keys - seen)


def _runs(context: dg.SensorEvaluationContext, wanted: dg.RunsFilter) -> list[RunView]:
    """The latest of these runs, newest first; twelve are enough to count a crash loop up to its longest delay."""
    records = context.instance.get_run_records(wanted, limit=12)
    return [
        RunView(
            run_id=record.dagster_run.run_id,
            started=record.dagster_run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
            failed=record.dagster_run.status is dg.DagsterRunStatus.FAILURE,
            refused=record.dagster_run.tags.get(REFUSED_TAG) == "true",
            created_at=record.create_timestamp.timestamp(),
            started_at=record.start_time,
            ended_at=record.end_time,
            wants_successor=record.dagster_run.tags.get(SUCCESSOR_TAG),
            follows_because=record.dagster_run.tags.get(FOLLOW_TAG),
        )
        for record in records
    ]


def _is_foreign(context: dg.SensorEvaluationContext, lease: leases.LeaseStatus) -> bool:
    """Whether somebody holds the lease who is not known here, not even as a run that has ended."""
    return not lease.released and context.instance.get_run_by_id(lease.owner) is None


def _report_dead(context: dg.SensorEvaluationContext, run_id: str) -> None:
    run = context.instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        # Not declared public, but what Dagster's own run monitoring calls; there is no public way.
        context.instance.report_run_failed(run, "The supervisor takes this run for dead: its heartbeat stands still.")
