"""Assets of the policies that policies.yaml declares, and the check that the database still has them so."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from ticks_platform.defs.assets import KINDS, OWNERS, REFRESH_POOL, candle_metadata
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import Applied
from ticks_platform.timescale.policies.settings import FILE, POLICIES, Kind, Policy, Terms, load_policies

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

ONLY_RUN = "ticks/only_run"
"""Tag of runs that run policies as they are, such as the schedule's: a change by hand must not be undone unseen."""
SLACK = timedelta(hours=1)
"""What a run of a columnstore or retention policy may take beside the time between two runs."""

_CANDLES = {candle.name: candle for candle in (ONE_MINUTE, ONE_HOUR, ONE_DAY)}

_DESCRIPTIONS = {
    Kind.REFRESH: "Refreshes {table} as policies.yaml says.",
    Kind.COLUMNSTORE: "Stores chunks of {table} by column when they have the age that policies.yaml says.",
    Kind.RETENTION: (
        "Drops chunks of {table} when they have the age that policies.yaml says, and their candles are up to them; off "
        "as shipped."
    ),
}
_MATERIALIZING = (
    " Materializing it compares the database with the file, alters what differs and nothing else, and says what it "
    "did; where the database has no scheduler of its own, it also runs the policy."
)


def _metadata(applied: Applied, terms: Terms | None, *, by_database: bool) -> dict[str, Any]:
    metadata = {"outcome": applied.outcome, "changes": "\n".join(applied.changes) or "none"}
    if applied.job_id is not None:
        metadata["run by"] = "the database's own scheduler" if by_database else "the Dagster schedule refresh_candles"
    if terms is not None:
        metadata["schedule interval"] = str(terms.schedule_interval)
        metadata |= {key.replace("_", " "): str(value) for key, value in terms.offsets.items()}
    return metadata


def _policy_asset(policy: Policy, file: Path) -> dg.AssetsDefinition:
    # What retention looks at is made with the ticks.
    sources = {policy.table, "stocks_real_time"} if policy.kind is Kind.RETENTION else {policy.table}

    @dg.asset(
        name=policy.name,
        deps=sorted(sources),
        group_name="policies",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        metadata={
            "definition": dg.MetadataValue.md(f"```yaml\n{file.read_text(encoding='utf-8')}\n```"),
            "file": dg.MetadataValue.path(FILE),
        },
        description=_DESCRIPTIONS[policy.kind].format(table=policy.table) + _MATERIALIZING,
    )
    def asset(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult[None]:
        terms = load_policies(file).terms(policy)
        with database.transaction() as cursor:
            only_run = ONLY_RUN in context.run.tags
            applied = policy_jobs.left(cursor, policy) if only_run else policy_jobs.apply(cursor, policy, terms)
        with database.autocommit() as cursor:
            by_database = policies.scheduler_is_running(cursor)
            if applied.job_id is not None and not by_database:
                policies.run(cursor, applied.job_id)
            if policy.kind is Kind.REFRESH:
                candle = _CANDLES[policy.table]
                metadata = candle_metadata(candle, candles.summarize(cursor, candle))
                context.log_event(dg.AssetObservation(asset_key=candle.name, metadata=metadata))
        return dg.MaterializeResult(metadata=_metadata(applied, terms, by_database=by_database))

    return asset


def policy_assets(file: Path) -> list[dg.AssetsDefinition]:
    """An asset for each policy that policies.yaml can declare. Raises SettingsError when the file cannot be used."""
    load_policies(file)
    return [_policy_asset(policy, file) for policy in POLICIES]


def _problems(cursor: "Cursor", policy: Policy, terms: Terms | None) -> tuple[list[str], list[str]]:
    """What is otherwise than declared or fails, and what is only late."""
    wrong = policy_jobs.drift(cursor, policy, terms)
    late: list[str] = []
    jobs = policy_jobs.find(cursor, policy)
    for job in jobs:
        start_offset = job.terms.get("start_offset")
        lost = policy_jobs.candles_without_ticks(cursor, policy, start_offset) if start_offset else None
        wrong += [f"job {job.job_id} reaches too far back: {lost}"] if lost else []
    if policy.kind is Kind.REFRESH:
        # How refreshes fare is what refreshes_keep_up says, of the candle.
        return wrong, late
    by_database = policies.scheduler_is_running(cursor)
    intervals = {job.job_id: job.schedule_interval for job in jobs}
    for run in policy_jobs.last_runs(cursor, jobs):
        if run.failed:
            wrong.append(f"the last run of job {run.job_id} failed: {run.error or 'see the log of the database'}")
        limit = (2 * intervals[run.job_id] + SLACK).total_seconds()
        if by_database and run.success_age_seconds is not None and run.success_age_seconds > limit:
            late.append(
                f"job {run.job_id} ended well {run.success_age_seconds:.0f} s ago, which should be no more than "
                f"{limit:.0f}"
            )
    return wrong, late


def _as_declared(policy: Policy, file: Path) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=policy.name,
        name="policy_is_as_declared",
        description=(
            "The database has this policy exactly as policies.yaml declares it: it is not missing, not changed by "
            "hand and not there twice. "
            + (
                "It refreshes no candle whose ticks are gone, which would delete it."
                if policy.kind is Kind.REFRESH
                else "Its runs do not fail, and are not late; an error is shown in the database's own words."
            )
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        terms = load_policies(file).terms(policy)
        with database.transaction() as cursor:
            wrong, late = _problems(cursor, policy, terms)
        return dg.AssetCheckResult(
            passed=not wrong and not late,
            severity=dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN,
            description="; ".join([*wrong, *late]) or ("as declared" if terms else "off, as declared"),
            metadata={
                "differences": dg.MetadataValue.int(len(wrong)),
                **({"to make it so": dg.MetadataValue.text(f"materialize {policy.name}")} if wrong else {}),
            },
        )

    return check


def policy_checks(file: Path) -> list[dg.AssetChecksDefinition]:
    """The check of each policy. Raises SettingsError when the file cannot be used."""
    return [_as_declared(policy, file) for policy in POLICIES]
