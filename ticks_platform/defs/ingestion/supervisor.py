"""The supervisor: launches bring_up while something is missing, and keeps one ingest run alive per enabled feed."""

import functools
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple, overload

import dagster as dg

from ticks_platform.defs.common.bring_up import BROUGHT_UP, bring_up, missing_objects, unreachable
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource
from ticks_platform.defs.common.runs import (
    FEED_TAG,
    FEEDS_TAG,
    FINISHED,
    FOLLOW_TAG,
    IN_FLIGHT,
    RunView,
    crash_wait,
    latest_runs,
    view,
    with_process,
)
from ticks_platform.defs.ingestion.decisions import LOADING, Act, Decision, Watch, decide
from ticks_platform.defs.ingestion.room import lack_of_room
from ticks_platform.defs.ingestion.settings_now import SettingsNow
from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch
from ticks_platform.paths import changed_at

logger = logging.getLogger(__name__)

INTERVAL = 4
"""Seconds. Dagster's sensor loop turns every 5 s; an interval of 5 misses every other turn when one comes early."""

_NAMED = 3
"""Names of missing objects in a message."""


class _Planned(NamedTuple):
    """A run that is to be kept alive."""

    name: str
    """Of the feed, or the group."""
    feeds: tuple[str, ...]
    is_group: bool
    follows_reloads: bool

    def __str__(self) -> str:
        return f"group '{self.name}'" if self.is_group else f"feed '{self.name}'"

    @property
    def tags(self) -> dict[str, str]:
        return {FEED_TAG: self.name, FEEDS_TAG: ", ".join(self.feeds)} if self.is_group else {FEED_TAG: self.name}

    def outdated(self, run: RunView) -> str | None:
        """Why a run with other feeds than these is handed over."""
        if not self.is_group or run.feeds == self.feeds:
            return None
        return f"the feeds of group '{self.name}' are now {', '.join(self.feeds)}"


class Lazily(Sequence[RunView]):
    """Runs that are read when they are first asked for."""

    def __init__(self, read: Callable[[], list[RunView]]) -> None:
        self._read = functools.cache(read)

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, place: int) -> RunView: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[RunView]: ...
    def __getitem__(self, place: int | slice) -> RunView | Sequence[RunView]:
        return self._read()[place]


def platform_supervisor(
    *,
    ingest: dg.JobDefinition,
    settings: PlatformSettings,
    feeds_file: Path,
    loaded_at: float,
    corrects: Sequence[Path] = (),
) -> dg.SensorDefinition:
    """The sensor. `loaded_at` is when the definitions were loaded: a refused feed is tried again after a reload, or a
    change of one of the files `corrects`, and runs of feeds that follow reloads are handed over to new ones. A run
    would read `feeds_file` again."""
    settings_now = SettingsNow(feeds_file, logger.log)
    warn_once = functools.cache(logger.warning)
    runs = {
        name: _Planned(
            name,
            tuple(feed.name for feed in feeds),
            is_group=feeds[0].group is not None,
            # One that does not overlap would miss something.
            follows_reloads=all(feed.follows_reloads for feed in feeds),
        )
        for name, feeds in groups.runs(settings.feeds).items()
    }

    @dg.sensor(
        name="platform_supervisor",
        jobs=[bring_up, ingest],
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Launches bring_up while something is missing in the database, then keeps exactly one ingest run alive for "
            "every feed that is switched on, or group of feeds. A run counts as alive while the heartbeat of its lease "
            "moves. A run that is to be replaced (by the job hand_over, after a reload of the code, with other "
            "settings) continues until its successor has taken over. A feed that something else ingests, such as "
            "another Dagster instance or a replay, is left alone meanwhile."
        ),
    )
    def supervisor(context: dg.SensorEvaluationContext, ticks_database: DatabaseResource) -> dg.SensorResult:
        try:
            return _evaluate(
                context,
                ticks_database,
                runs,
                loaded_at,
                changed_at(*corrects),
                obstacle=settings_now.look(),
                warn_once=warn_once,
            )
        except UNREACHABLE as error:
            return dg.SensorResult(skip_reason=unreachable(error), cursor=context.cursor)

    return supervisor


def _evaluate(
    context: dg.SensorEvaluationContext,
    ticks_database: DatabaseResource,
    planned: Mapping[str, _Planned],
    loaded_at: float,
    corrected_at: float,
    *,
    obstacle: Callable[[Collection[str]], str | None],
    warn_once: Callable[[str], object],
) -> dg.SensorResult:
    now = time.time()
    feeds = [feed for run in planned.values() for feed in run.feeds]
    with ticks_database.transaction() as cursor:
        missing = missing_objects(cursor)
        if not missing:
            # Fails where nobody can write: then no run can send a heartbeat, and silence says nothing.
            cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at WHERE false")
            off = switch.disabled(cursor, feeds)
            held = leases.statuses(cursor, feeds)
            working = leases.active_loaders(cursor, feeds)
    unseen = missing or _never_materialized(context)
    requests = _bring_up(context, unseen, now) if unseen else []
    if missing:
        return _result(requests, [f"not created yet: {', '.join(missing)}"], context.cursor)

    in_flight = {
        name: [with_process(context.instance, run) for run in found] if name in planned else found
        for name, found in _in_flight(context.instance).items()
    }
    known = {run.run_id for found in in_flight.values() for run in found}
    foreign = {feed: lease.owner for feed, lease in held.items() if _is_foreign(context, lease, known)}
    watch = Watch.resume(context.cursor, now=now)
    watched = [run for name in planned for run in in_flight.get(name, ()) if run.has_process]
    signs = {run.run_id: watch.look(run.run_id, LOADING) for run in watched if not run.started}
    for owner in {*foreign.values(), *(run.run_id for run in watched if run.started)}:
        theirs = {feed: lease for feed, lease in held.items() if lease.owner == owner}
        # A run that waits for a lock, or for a large commit, cannot send heartbeats. One of a group's feeds is enough.
        beats = [f"at work at {now}" if feed in working else str(lease.heartbeat_at) for feed, lease in theirs.items()]
        # Of somebody else, the last commit may be old where it is at work on a large batch.
        ages = [0.0 if feed in working else lease.age for feed, lease in theirs.items()]
        age = min(ages) if owner in foreign.values() else 0.0
        signs[owner] = watch.look(owner, ", ".join(sorted(beats)) or None, age=age)
    watch = watch._replace(signs=signs)
    notes = []
    lack = lack_of_room(context.instance, sum(not off.issuperset(run.feeds) for run in planned.values()))
    if lack is not None:
        warn_once(lack)
        notes.append(lack)
    for run in planned.values():
        alive = in_flight.get(run.name, [])
        enabled = [feed for feed in run.feeds if feed not in off]
        elsewhere = [feed for feed in enabled if feed in foreign and not watch.is_dead(foreign[feed])]

        # Read where it is asked for: of fifty feeds that stream, it would be fifty queries every four seconds.
        ended = Lazily(functools.partial(_ended, context.instance, run, enabled))
        decision = decide(
            now=now,
            enabled=bool(enabled),
            in_flight=[each._replace(wants_successor=run.outdated(each) or each.wants_successor) for each in alive],
            finished=ended,
            watch=watch,
            loaded_at=loaded_at,
            foreign=foreign[elsewhere[0]] if enabled and elsewhere == enabled else None,
            follows_reloads=run.follows_reloads,
            corrected_at=corrected_at,
        )
        for run_id in decision.dead:
            _report_dead(context, run_id, watch.silence(run_id))
        in_the_way = None if decision.act is Act.NOTHING else obstacle(enabled)
        if in_the_way is not None:
            decision = Decision(Act.NOTHING, in_the_way)
        if decision.act is not Act.NOTHING:
            context.log.info(f"{run}: {decision.reason}; launching a run")
            if decision.act is Act.REPLACE:
                _say_killed(run, decision.dead[0])
            elif decision.act is Act.LAUNCH and ended and _was_killed(context, ended[0]):
                _say_killed(run, ended[0].run_id)
            # No run key: it would be remembered for ever, and the feed could be launched only once.
            tags = run.tags if decision.because is None else {**run.tags, FOLLOW_TAG: decision.because}
            requests.append(dg.RunRequest(job_name="ingest", partition_key=run.name, tags=tags))
        notes.append(f"{run.name}: {decision.reason}")
    return _result(requests, notes, watch.dump())


def _in_flight(instance: dg.DagsterInstance) -> dict[str, list[RunView]]:
    """The runs of ingestion that have not ended, by what they ingest."""
    found: dict[str, list[RunView]] = {}
    for record in instance.get_run_records(dg.RunsFilter(job_name="ingest", statuses=IN_FLIGHT)):
        found.setdefault(record.dagster_run.tags.get(FEED_TAG, ""), []).append(view(record))
    return found


def _ended(instance: dg.DagsterInstance, run: _Planned, enabled: Sequence[str]) -> list[RunView]:
    found = latest_runs(instance, dg.RunsFilter(statuses=FINISHED, tags={FEED_TAG: run.name}))
    if not run.is_group:
        return found
    # A feed that was enabled since, or was not in the group, was not refused.
    return [each._replace(refused=bool(each.refused_feeds) and {*enabled} <= {*each.refused_feeds}) for each in found]


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


def _is_foreign(context: dg.SensorEvaluationContext, lease: leases.LeaseStatus, known: Set[str]) -> bool:
    """Whether the lease's owner is not known here, not even as a run that has ended."""
    return not lease.released and lease.owner not in known and context.instance.get_run_by_id(lease.owner) is None


def _was_killed(context: dg.SensorEvaluationContext, run: RunView) -> bool:
    """Whether a run that had begun was declared failed from outside: one that fails by itself says why."""
    if not run.failed or run.started_at is None:
        return False
    ends = context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    return any(end.dagster_event and end.dagster_event.event_specific_data is None for end in ends)


def _say_killed(run: _Planned, run_id: str) -> None:
    """In the output of the code location's process, where the run itself could say nothing."""
    logger.warning(
        "%s: run %s was killed, or hung; another one is launched, and loads what that one left in its journal",
        run,
        run_id[:8],
    )


def _report_dead(context: dg.SensorEvaluationContext, run_id: str, silence: str) -> None:
    run = context.instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        # Not declared public, but Dagster's own run monitoring calls it; there is no public way.
        context.instance.report_run_failed(run, f"run presumed dead: {silence}")
