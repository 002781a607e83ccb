"""Asset checks of what keeps the candles up to their ticks."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.timescale import candle_quality
from ticks_platform.timescale.candle_quality import Refreshing
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.candles.candles import Candle
from ticks_platform.timescale.policies import policies

SLACK = timedelta(minutes=2)
"""What a refresh may take beside what its policy allows for."""


def _problems(row: Refreshing, *, by_database: bool) -> tuple[list[str], list[str]]:
    """What is broken, and what is only late."""
    broken, late = [], []
    if row.job_id is None:
        broken.append("there is no refresh policy")
    elif row.scheduled is False:
        broken.append(f"its refresh policy, job {row.job_id}, is stopped: its job is not scheduled")
    if row.failed:
        broken.append(f"the last run of job {row.job_id} failed: {row.error or 'see the log of the database'}")
    if by_database and row.success_age_seconds is not None and row.interval_seconds is not None:
        limit = 2 * row.interval_seconds + SLACK.total_seconds()
        if row.success_age_seconds > limit:
            late.append(
                f"job {row.job_id} ended well {row.success_age_seconds:.0f} s ago, which should be no more than "
                f"{limit:.0f}"
            )
    if row.behind:
        late.append(
            "nothing is materialized"
            if row.lag_seconds is None
            else f"it is materialized up to {row.lag_seconds:.0f} s ago, and there are ticks since then that it lacks"
        )
    return broken, late


def _refreshes_keep_up(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="refreshes_keep_up",
        description=(
            "The candle has a refresh policy, which is not stopped, does not fail and is not late, and no tick is left "
            "out of it that the policy should have come to. An error of the policy is shown in the database's own "
            "words. Where the database has no scheduler of its own, lateness is that of the candle alone."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            rows = candle_quality.refreshing(cursor, candle, slack=SLACK)
            by_database = policies.scheduler_is_running(cursor)
        broken, late = [], []
        for row in rows:
            problems = _problems(row, by_database=by_database)
            broken += problems[0]
            late += problems[1]
        lags = [row.lag_seconds for row in rows if row.lag_seconds is not None]
        ages = [row.success_age_seconds for row in rows if row.success_age_seconds is not None]
        return dg.AssetCheckResult(
            passed=not broken and not late,
            severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
            description="; ".join(dict.fromkeys([*broken, *late])) or "refreshes keep up",
            metadata={
                "policies": dg.MetadataValue.int(sum(row.job_id is not None for row in rows)),
                **({"lag in seconds": dg.MetadataValue.float(round(lags[0], 1))} if lags else {}),
                **({"last success seconds ago": dg.MetadataValue.float(round(min(ages), 1))} if ages else {}),
                "run by": dg.MetadataValue.text("the database" if by_database else "Dagster"),
            },
        )

    return check


refreshes_keep_up = [_refreshes_keep_up(candle) for candle in reconciliation.LEVELS]
