"""What the ticks of selected days may change in a candle, computed again from their conditions."""

from collections import Counter
from datetime import timedelta

import dagster as dg

from ticks_platform.defs.common.examples import Metadata, examples
from ticks_platform.defs.common.labels import KINDS, OWNERS, REFRESH_POOL, defined_in
from ticks_platform.defs.common.partitions import DAYS
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.polygon.conditions import packaged_rules
from ticks_platform.ingestion import eligibility
from ticks_platform.timescale.candles.candles import CANDLES

SHOWN = 200
"""Rows of a table in the UI."""


@dg.definitions
def tick_eligibility() -> dg.Definitions:
    """The asset `tick_eligibility`, whose partitions are days."""
    feeds = eligibility.feeds_with_rules(feed_settings().feeds)

    @dg.asset(
        name="tick_eligibility",
        deps=["stocks_real_time"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata=defined_in("schema/trade_condition.sql"),
        description=(
            "What the ticks of the selected days, UTC, may change in a candle: computed again from their conditions, "
            "by the rules of this release, for the feeds of US stock trades in feeds.yaml. Only ticks that differ are "
            "changed, and the days' candles are refreshed. That a tick was cancelled, or is of a secondary feed, "
            "stays. Needed only after the rules have changed, which the change log says."
        ),
    )
    def asset(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        rules = packaged_rules()
        day, end = context.partition_time_window
        changed: Counter[tuple[str, int, int]] = Counter()
        while day < end:
            for each in eligibility.recompute(ticks_database.database, feeds, day, rules):
                conditions = ", ".join(map(str, each.conditions))
                changed[conditions, each.before, each.after] += each.ticks
            day += timedelta(days=1)
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
        if changed:
            for key in ("stocks_real_time", *(candle.name for candle in CANDLES)):
                context.log_event(dg.AssetObservation(asset_key=key, metadata=metadata))
        return dg.MaterializeResult(metadata=metadata)

    return dg.Definitions(assets=[asset])
