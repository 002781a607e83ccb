"""Declared policies and the database's jobs: what differs, and altering no more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import gone, sql_files
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.policies.settings import FILE, NOTES, Kind, Policy, Terms

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_PROCEDURES = {
    Kind.REFRESH: ["_timescaledb_functions.policy_refresh_continuous_aggregate"],
    Kind.COLUMNSTORE: ["_timescaledb_functions.policy_compression"],
    Kind.NOTES: ["ticks_platform.delete_old_notes"],
    Kind.RETENTION: ["ticks_platform.drop_old_chunks", "_timescaledb_functions.policy_retention"],
}
"""The procedures that the jobs of each kind call; the first is the one that ours call."""

_ADD = {
    Kind.REFRESH: "policies/add_refresh.sql",
    Kind.COLUMNSTORE: "policies/add_columnstore.sql",
    Kind.NOTES: "policies/add_notes.sql",
    Kind.RETENTION: "policies/add_retention.sql",
}
"""The file that creates a job of each kind."""

_TERMS = {
    Kind.REFRESH: ["start_offset", "end_offset"],
    Kind.COLUMNSTORE: ["compress_after"],
    Kind.NOTES: list(NOTES),
    Kind.RETENTION: ["drop_after"],
}
"""The intervals in the configuration of a job."""

LONGEST_RETRY = timedelta(hours=1)
"""Longest wait after a failed run; a job that runs more often waits for its usual interval."""
MAX_RETRIES = -1
MAX_RUNTIME = timedelta(0)
"""No limit of either, which is TimescaleDB's default for policies."""


class PolicyRefusedError(ActionRequiredError):
    """The policy would delete candles; the message says which, and what to do."""


class Job(NamedTuple):
    """A job of the database that works as a policy."""

    job_id: int
    own: bool
    """Whether it calls the procedure of a declared policy, and was not created by hand in its place."""
    scheduled: bool
    schedule_interval: timedelta
    retry_period: timedelta
    max_runtime: timedelta
    max_retries: int
    terms: Mapping[str, timedelta | None]
    surplus: Mapping[str, Any]
    """The rest of its configuration."""


class Applied(NamedTuple):
    """What was done to a policy (created, unchanged, altered, removed, off or not compared), and each change."""

    outcome: str
    changes: list[str]
    job_id: int | None


def find(cursor: Cursor, policy: Policy) -> list[Job]:
    """The jobs that work as this policy, whoever created them."""
    parameters = {
        "table": policy.table,
        "procedures": _PROCEDURES[policy.kind],
        "terms": _TERMS[policy.kind],
    }
    cursor.execute(sql_files.read("queries/policies/jobs.sql"), parameters)
    jobs = [Job(*row) for row in cursor.fetchall()]
    return [job._replace(terms={key: _interval(value) for key, value in job.terms.items()}) for job in jobs]


def differences(job: Job, terms: Terms) -> list[str]:
    """How a job differs from its declaration, one message for each difference."""
    pairs: list[tuple[str, object, object]] = [
        ("schedule_interval", job.schedule_interval, terms.schedule_interval),
        *((key, job.terms.get(key), terms.offsets.get(key)) for key in {**terms.offsets, **job.terms}),
        ("scheduled", job.scheduled, True),
        ("retry_period", job.retry_period, _retry_period(terms)),
        ("max_retries", job.max_retries, MAX_RETRIES),
        ("max_runtime", job.max_runtime, MAX_RUNTIME),
        *((key, value, None) for key, value in job.surplus.items()),
    ]
    return [f"{name} is {_word(found)}, declared {_word(wanted)}" for name, found, wanted in pairs if found != wanted]


def drift(cursor: Cursor, policy: Policy, terms: Terms | None) -> list[str]:
    """How the database differs from the declaration, one message for each difference."""
    jobs = find(cursor, policy)
    if terms is None:
        return [f"job {job.job_id} is there, and {policy.kind.value} of {policy.table} is off" for job in jobs]
    kept = _kept(jobs, terms)
    if kept is None:
        found = ["it is missing"]
    else:
        found = [f"job {kept.job_id}: {difference}" for difference in differences(kept, terms)]
    return found + [f"job {job.job_id} is not declared" for job in jobs if job is not kept]


def apply(cursor: Cursor, policy: Policy, terms: Terms | None) -> Applied:
    """Make the database's jobs agree with the declaration, in the cursor's transaction.

    A job that differs is altered and not replaced: its history and its next start stay. Raises PolicyRefusedError when
    a refresh would delete candles whose ticks are gone.
    """
    jobs = find(cursor, policy)
    kept = _kept(jobs, terms) if terms is not None else None
    if terms is not None and policy.kind is Kind.RETENTION:
        # Also for a job that exists: it has to call the procedure of this release.
        sql_files.apply(cursor, *sql_files.RETENTION)
    if terms is not None and policy.kind is Kind.NOTES:
        sql_files.apply(cursor, *sql_files.NOTES)
    changes = []
    for job in jobs:
        if job is not kept:
            _note_dropped(cursor, policy, job)
            cursor.execute(sql_files.read("policies/remove.sql"), {"job_id": job.job_id})
            changes.append(f"removed job {job.job_id}, which is not declared")
    if terms is None:
        return Applied("removed" if changes else "off", changes, None)
    if kept is None:
        _refuse_to_delete(cursor, policy, terms)
        parameters = {"table": policy.table, "schedule_interval": terms.schedule_interval, **terms.offsets}
        cursor.execute(sql_files.read(_ADD[policy.kind]), parameters)
        (job_id,) = cursor.fetchone() or (None,)
        (kept,) = [job for job in find(cursor, policy) if job.job_id == job_id]
        if differences(kept, terms):
            _alter(cursor, kept, terms)
        return Applied("created", changes, kept.job_id)
    differing = differences(kept, terms)
    if differing:
        _refuse_to_delete(cursor, policy, terms)
        _alter(cursor, kept, terms)
        changes += differing
    return Applied("altered" if changes else "unchanged", changes, kept.job_id)


def left(cursor: Cursor, policy: Policy) -> Applied:
    """The job of a policy, without comparing it with the declaration."""
    jobs = find(cursor, policy)
    return Applied("not compared", [], jobs[0].job_id if jobs else None)


class LastRun(NamedTuple):
    """The result of the last run of a job by the database's scheduler."""

    job_id: int
    failed: bool
    error: str | None
    """The message of the newest error that the database has kept, also when later runs succeeded."""
    success_age_seconds: float | None


def last_runs(cursor: Cursor, jobs: Sequence[Job]) -> list[LastRun]:
    """The results of the last runs of these jobs; jobs that never ran are left out."""
    cursor.execute(sql_files.read("queries/policies/last_runs.sql"), {"jobs": [job.job_id for job in jobs]})
    return [LastRun(*row) for row in cursor.fetchall()]


def candles_without_ticks(cursor: Cursor, policy: Policy, start_offset: timedelta) -> str | None:
    """Which candles a refresh of this window would delete, as a message; None when it would delete none.

    Only the candles of minutes are made from ticks: hours and days are made from candles, which stay.
    """
    if policy != Policy(Kind.REFRESH, ONE_MINUTE.name):
        return None
    kept = candles.kept_ranges(cursor)
    cursor.execute(
        sql_files.read("queries/policies/candles_without_ticks.sql"),
        {"start_offset": start_offset, "begins": [span.begin for span in kept], "ends": [span.end for span in kept]},
    )
    number, first, last = cursor.fetchone() or (0, None, None)
    if not number:
        return None
    return f"{number} candles from {first} to {last} have no ticks any more, and a refresh would delete them"


def _refuse_to_delete(cursor: Cursor, policy: Policy, terms: Terms) -> None:
    if "start_offset" not in terms.offsets:
        return
    lost = candles_without_ticks(cursor, policy, terms.offsets["start_offset"])
    if lost:
        raise PolicyRefusedError(
            f"{policy.name} is left as it is: {lost}. Choose a shorter start_offset for refresh.{policy.table} in "
            f"{FILE}, one that ends before them"
        )


def _note_dropped(cursor: Cursor, policy: Policy, job: Job) -> None:
    """Note in the account what a retention policy of TimescaleDB's own has dropped: it notes nothing itself."""
    drop_after = job.terms.get("drop_after")
    if policy.kind is not Kind.RETENTION or job.own or drop_after is None or policy.table not in gone.TIME_COLUMNS:
        return
    cursor.execute("SELECT to_regclass('ticks_platform.feed_hour') IS NOT NULL, now() - %s", (drop_after,))
    (counted, cutoff) = cursor.fetchone() or (False, None)
    if counted:
        reason = f"job {job.job_id} of TimescaleDB's own, drop_after {drop_after}"
        gone.declare(cursor, policy.table, until=cutoff, declared_by="retention", reason=reason)


def _kept(jobs: list[Job], terms: Terms) -> Job | None:
    """The job that is closest to the declaration."""
    own = [job for job in jobs if job.own]
    return min(own, key=lambda job: (len(differences(job, terms)), job.job_id), default=None)


def _alter(cursor: Cursor, job: Job, terms: Terms) -> None:
    cursor.execute(
        sql_files.read("policies/alter.sql"),
        {
            "job_id": job.job_id,
            "schedule_interval": terms.schedule_interval,
            "retry_period": _retry_period(terms),
            "max_runtime": MAX_RUNTIME,
            "max_retries": MAX_RETRIES,
            "terms": list(terms.offsets),
            "offsets": list(terms.offsets.values()),
        },
    )


def _retry_period(terms: Terms) -> timedelta:
    return min(terms.schedule_interval, LONGEST_RETRY)


def _interval(seconds: Any) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=float(seconds))


def _word(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
