"""Checks that the database is as our files declare it: functions, since they compare it with those files."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.candles.rebuild import difference
from ticks_platform.defs.checks.check import ERROR, WARN, Subject, Verdict
from ticks_platform.defs.checks.refreshes import failed, overdue
from ticks_platform.timescale import readers
from ticks_platform.timescale.candles import definitions
from ticks_platform.timescale.candles.definitions import DefinitionError
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.settings import POLICIES, Kind, load_policies

SLACK = timedelta(hours=1)
"""What a run of a columnstore or retention policy may take beside the time between two runs."""


def definition_is_as_in_its_file(subject: Subject) -> Verdict:
    """The candle's definition is that of its SQL file."""
    try:
        with subject.database.transaction() as cursor:
            drift = definitions.drift(cursor, subject.candle)
    except DefinitionError as error:
        return Verdict(passed=False, description=str(error))
    if drift is None:
        return Verdict(passed=True, description="as in its file")
    return Verdict(
        passed=False,
        description=f"{drift.words}: run the job rebuild_candle, or restore the file",
        metadata={"difference": difference(drift.select)} if drift.select else {},
    )


def policy_is_as_declared(subject: Subject) -> Verdict:
    """The policy is that of policies.yaml, and runs."""
    policy = next(policy for policy in POLICIES if policy.name == subject.asset)
    terms = load_policies(subject.policies).terms(policy)
    wrong: list[str] = []
    late: list[str] = []
    with subject.database.transaction() as cursor:
        wrong += policy_jobs.drift(cursor, policy, terms)
        jobs = policy_jobs.find(cursor, policy)
        for job in jobs:
            start_offset = job.terms.get("start_offset")
            lost = policy_jobs.candles_without_ticks(cursor, policy, start_offset) if start_offset else None
            wrong += [f"job {job.job_id} reaches too far back: {lost}"] if lost else []
        # Of refreshes, refreshes_keep_up says how they run.
        if policy.kind is not Kind.REFRESH:
            by_database = policies.scheduler_is_running(cursor)
            intervals = {job.job_id: job.schedule_interval for job in jobs}
            for run in policy_jobs.last_runs(cursor, jobs):
                if run.failed:
                    wrong.append(failed(run.job_id, run.error))
                limit = (2 * intervals[run.job_id] + SLACK).total_seconds()
                if by_database and run.success_age_seconds is not None and run.success_age_seconds > limit:
                    late.append(overdue(run.job_id, run.success_age_seconds, limit))
    return Verdict(
        passed=not wrong and not late,
        severity=ERROR if wrong else WARN,
        description="; ".join([*wrong, *late]) or ("as declared" if terms else "off, as declared"),
        metadata={
            "differences": dg.MetadataValue.int(len(wrong)),
            **({"to make it so": dg.MetadataValue.text(f"materialize {policy.name}")} if wrong else {}),
        },
    )


def only_its_owner_writes(subject: Subject) -> Verdict:
    """Nobody but its owner may write to the candle."""
    with subject.database.transaction() as cursor:
        found = readers.writers(cursor, subject.asset)
    return Verdict(
        passed=not found,
        description="; ".join(f"{role} may {privileges}" for role, privileges in found) or "nobody else may write",
    )
