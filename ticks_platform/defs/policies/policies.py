"""An asset for each policy that policies.yaml can declare."""

from pathlib import Path
from typing import Any

import dagster as dg

from ticks_platform.defs.candles import chart
from ticks_platform.defs.common.labels import KINDS, OWNERS, REFRESH_POOL
from ticks_platform.defs.common.project import policies_file
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.quantities import length
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import Applied
from ticks_platform.timescale.policies.settings import FILE, POLICIES, Kind, Policy, Terms, load_policies

ONLY_RUN = ".dagster/ticks_only_run"
"""Tag of runs that run policies as they are, such as the schedule's: a change by hand must not be undone unseen."""

_DESCRIPTIONS = {
    Kind.REFRESH: "Refreshes {table} as policies.yaml says.",
    Kind.COLUMNSTORE: "Stores chunks of {table} by column when they have the age that policies.yaml says.",
    Kind.RETENTION: (
        "Drops chunks of {table} when they have the age that policies.yaml says, and their candles are up to date; off "
        "as shipped."
    ),
    Kind.NOTES: (
        "Deletes what is noted of feeds (states of connections, settled gaps, finished repairs, rejected events) when "
        "it has the age that policies.yaml says. The account still balances."
    ),
}
_MATERIALIZING = (
    " Materializing it compares the database with the file, alters what differs and nothing else, and says what it "
    "did; where the database has no scheduler of its own, it also runs the policy."
)


@dg.definitions
def policy_assets() -> dg.Definitions:
    """The assets of the policies."""
    file = policies_file()
    return dg.Definitions(assets=[_policy(policy, file) for policy in POLICIES])


def _policy(policy: Policy, file: Path) -> dg.AssetsDefinition:
    text = file.read_text(encoding="utf-8")
    # What retention looks at is made with the ticks.
    sources = {policy.table, "stocks_real_time"} if policy.kind is Kind.RETENTION else {policy.table}
    if policy.kind is Kind.NOTES:
        sources = {"stocks_real_time"}

    @dg.asset(
        name=policy.name,
        deps=sorted(sources),
        group_name="policies",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        metadata={
            "definition": dg.MetadataValue.md(f"```yaml\n{text}\n```"),
            "file": dg.MetadataValue.path(FILE),
        },
        description=_DESCRIPTIONS[policy.kind].format(table=policy.table) + _MATERIALIZING,
    )
    def asset(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        terms = load_policies(file).terms(policy)
        with ticks_database.transaction() as cursor:
            only_run = ONLY_RUN in context.run.tags
            applied = policy_jobs.left(cursor, policy) if only_run else policy_jobs.apply(cursor, policy, terms)
        with ticks_database.autocommit() as cursor:
            by_database = policies.scheduler_is_running(cursor)
            # The schedule asks for what the database does not run, or fails to run.
            if applied.job_id is not None and (only_run or not by_database):
                policies.run(cursor, applied.job_id)
            if policy.kind is Kind.REFRESH:
                candle = next(candle for candle in CANDLES if candle.name == policy.table)
                contents = chart.contents(candle, candles.summarize(cursor, candle))
                context.log_event(dg.AssetObservation(asset_key=candle.name, metadata=contents))
        return dg.MaterializeResult(metadata=_metadata(applied, terms, by_database=by_database))

    return asset


def _metadata(applied: Applied, terms: Terms | None, *, by_database: bool) -> dict[str, Any]:
    metadata = {"outcome": applied.outcome, "changes": "\n".join(applied.changes) or "none"}
    if applied.job_id is not None:
        metadata["run by"] = "the database's own scheduler" if by_database else "the Dagster schedule refresh_candles"
    if terms is not None:
        metadata["schedule interval"] = length(terms.schedule_interval)
        metadata |= {key.replace("_", " "): length(value) for key, value in terms.offsets.items()}
    return metadata
