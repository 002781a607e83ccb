"""Asset checks of the candles: are they the candles of their ticks, are they plausible, are they up to date?"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from ticks_platform.defs.assets import REFRESH_POOL
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.timescale import reconciliation
from ticks_platform.timescale.candles import ONE_HOUR, ONE_MINUTE, Candle

Metadata = dict[str, dg.MetadataValue]


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord({key: "none" if value is None else str(value) for key, value in row.items()}) for row in rows]
    )


def _examples(rows: Iterable[Mapping[str, Any]]) -> Metadata:
    rows = list(rows)
    return {"examples": _table(rows)} if rows else {}


def _candles_equal_ticks(candle: Candle) -> dg.AssetChecksDefinition:
    hours = reconciliation.WINDOW.total_seconds() / 3600

    @dg.asset_check(
        asset=candle.name,
        name="candles_equal_ticks",
        pool=REFRESH_POOL,
        description=(
            f"Open, high, low, close and tick count of every closed candle of the last {hours:g} hours, and of every "
            f"hour whose ticks changed in the last {hours:g}, are those of its ticks, recomputed in plain SQL; as far as "
            "the ticks are still there. Candles that only wait for late ticks are refreshed, which is no failure. "
            "Candles that the database takes for up to date and that are wrong fail the check as a warning even when a "
            "forced refresh of them, in every level, has healed them: somebody may have read them, and something wrote "
            "them. The next run is green again. Those that stay wrong are an error."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.autocommit() as cursor:
            result = reconciliation.reconcile(cursor, candle)
        wrong, left = result.wrong.differing, result.left.differing
        parts = []
        if result.healed:
            parts.append(f"{result.healed} candles were wrong and are healed by a forced refresh")
        if left:
            parts.append(f"{left} candles are wrong and a forced refresh does not heal them")
        if not wrong:
            parts.append(f"all {result.found.candles} candles are those of their ticks")
        if result.late:
            parts.append(f"{result.late} had late ticks and were refreshed")
        return dg.AssetCheckResult(
            passed=wrong == 0,
            severity=dg.AssetCheckSeverity.ERROR if left else dg.AssetCheckSeverity.WARN,
            description="; ".join(parts),
            metadata={
                "candles": dg.MetadataValue.int(result.found.candles),
                "differing": dg.MetadataValue.int(result.found.differing),
                "late": dg.MetadataValue.int(result.late),
                "healed": dg.MetadataValue.int(result.healed),
                "not healed": dg.MetadataValue.int(left),
                **_examples((*result.left.examples, *result.wrong.examples)[: reconciliation.EXAMPLES]),
            },
        )

    return check


candles_equal_ticks = [_candles_equal_ticks(ONE_MINUTE), _candles_equal_ticks(ONE_HOUR)]
