"""The check `refreshes_keep_up`: a function, since it weighs the state of several policies and of the candle."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import ERROR, WARN, Subject, Verdict
from ticks_platform.timescale import quality
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.quality import Refreshing

SLACK = timedelta(minutes=2)
"""What a refresh may take beside what its policy allows for."""


def refreshes_keep_up(subject: Subject) -> Verdict:
    """The candle's refresh policy runs, and leaves no tick out."""
    with subject.database.transaction() as cursor:
        rows = quality.refreshing(cursor, subject.candle, slack=SLACK)
        by_database = policies.scheduler_is_running(cursor)
    broken, late = [], []
    for row in rows:
        broken += _broken(row)
        late += _late(row, by_database=by_database)
    lags = [row.lag_seconds for row in rows if row.lag_seconds is not None]
    ages = [row.success_age_seconds for row in rows if row.success_age_seconds is not None]
    return Verdict(
        passed=not broken and not late,
        severity=ERROR if broken else WARN,
        description="; ".join(dict.fromkeys([*broken, *late])) or "refreshes keep up",
        metadata={
            "policies": dg.MetadataValue.int(sum(row.job_id is not None for row in rows)),
            **({"lag in seconds": dg.MetadataValue.float(round(lags[0], 1))} if lags else {}),
            **({"last success seconds ago": dg.MetadataValue.float(round(min(ages), 1))} if ages else {}),
            "run by": dg.MetadataValue.text("the database" if by_database else "Dagster"),
        },
    )


def _broken(row: Refreshing) -> list[str]:
    found = []
    if row.job_id is None:
        found.append("there is no refresh policy")
    elif row.scheduled is False:
        found.append(f"its refresh policy, job {row.job_id}, is stopped: its job is not scheduled")
    if row.failed:
        found.append(failed(row.job_id, row.error))
    return found


def _late(row: Refreshing, *, by_database: bool) -> list[str]:
    found = []
    if by_database and row.success_age_seconds is not None and row.interval_seconds is not None:
        limit = 2 * row.interval_seconds + SLACK.total_seconds()
        if row.success_age_seconds > limit:
            found.append(overdue(row.job_id, row.success_age_seconds, limit))
    if row.behind and row.lag_seconds is None:
        found.append("nothing is materialized")
    elif row.behind:
        found.append(f"it is materialized up to {row.lag_seconds:.0f} s ago, and lacks ticks since then")
    return found


def failed(job_id: int | None, error: str | None) -> str:
    """That the last run of a policy's job failed."""
    return f"the last run of job {job_id} failed: {error or 'see the log of the database'}"


def overdue(job_id: int | None, age: float, limit: float) -> str:
    """That the last success of a policy's job is too long ago; times are seconds."""
    return f"job {job_id} last succeeded {age:.0f} s ago (limit {limit:.0f} s)"
