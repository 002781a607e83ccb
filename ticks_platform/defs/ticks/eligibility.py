"""What the ticks of the named days may change in a candle, computed again from their conditions."""

from collections import Counter

import dagster as dg

from ticks_platform.defs.common.examples import Metadata, examples
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND, REFRESH_POOL
from ticks_platform.defs.common.partitions import day_fields, midnight, selected_days
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.us_stocks.conditions import packaged_rules
from ticks_platform.ingestion import eligibility
from ticks_platform.timescale.candles.candles import CANDLES

SHOWN = 200
"""Rows of a table in the UI."""


@dg.definitions
def apply_condition_rules() -> dg.Definitions:
    """The job `apply_condition_rules`."""
    feeds = eligibility.feeds_with_rules(feed_settings().feeds)

    @dg.op(
        name="apply_condition_rules_op",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        config_schema=day_fields(),
        description="Computes the bits of the days' ticks again, changes those that differ, and refreshes the candles.",
    )
    def apply(context: dg.OpExecutionContext, ticks_database: DatabaseResource) -> None:
        rules = packaged_rules()
        changed: Counter[tuple[str, int, int]] = Counter()
        for day in selected_days(context.op_config):
            for each in eligibility.recompute(ticks_database.database, feeds, midnight(day), rules):
                conditions = ", ".join(map(str, each.conditions))
                changed[conditions, each.before, each.after] += each.ticks
        rows = [
            {"conditions": conditions, "before": before, "after": after, "ticks": ticks}
            for (conditions, before, after), ticks in changed.most_common(SHOWN)
        ]
        metadata: Metadata = {
            "feeds": dg.MetadataValue.text(", ".join(feeds) or "none"),
            "rules_version": dg.MetadataValue.int(rules.version),
            "ticks changed": dg.MetadataValue.int(changed.total()),
            **examples(rows, "changes"),
        }
        context.add_output_metadata(metadata)
        context.log.info(f"{changed.total()} ticks changed, by the rules of version {rules.version}")
        if changed:
            for key in ("stocks_real_time", *(candle.name for candle in CANDLES)):
                context.log_event(dg.AssetObservation(asset_key=key, metadata=metadata))

    @dg.job(
        name="apply_condition_rules",
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Computes what the ticks of the days, UTC, may change in a candle again from their conditions, by the "
            "rules of this release, for the feeds of US stock trades in feeds.yaml. Only ticks that differ are "
            "changed, and the days' candles are refreshed. That a tick was cancelled, or is of a secondary feed, "
            "stays. Needed only after the rules have changed, which the change log says."
        ),
    )
    def job() -> None:
        apply()

    return dg.Definitions(jobs=[job])
