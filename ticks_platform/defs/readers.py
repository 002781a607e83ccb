"""Users of the candles read and do not write: a reader's grants, and the check that nobody else may write."""

import os
from collections.abc import Sequence

import dagster as dg

from ticks_platform.defs.assets import KINDS, OWNERS, definition_metadata
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.timescale import readers
from ticks_platform.timescale.candles.candles import Candle
from ticks_platform.timescale.candles.reconciliation import LEVELS

ROLE_VARIABLE = "TICKS_READER_ROLE"


def reader_assets(tables: Sequence[str]) -> list[dg.AssetsDefinition]:
    """The asset `reader` after all these tables, where TICKS_READER_ROLE is set; otherwise none."""
    role = os.environ.get(ROLE_VARIABLE, "").strip()
    if not role:
        return []

    @dg.asset(
        deps=list(tables),
        group_name="policies",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("grants/reader.sql"),
        description=(
            f"The role {role}, which {ROLE_VARIABLE} names, may read ticks, candles and the account, and write nothing."
        ),
    )
    def reader(database: DatabaseResource) -> dg.MaterializeResult[None]:
        with database.transaction() as cursor:
            number = readers.let_read(cursor, role)
        return dg.MaterializeResult(metadata={"role": role, "tables": number})

    return [reader]


def _only_its_owner_writes(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="only_its_owner_writes",
        description=(
            "Nobody but the candle's owner may write to it. A candle that shows only what is materialized is a view "
            "that can be written to, and what is written there stays whatever the ticks say."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = readers.writers(cursor, candle.name)
        words = [f"{role} may {privileges}" for role, privileges in found]
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(words) or "nobody else may write",
        )

    return check


only_its_owner_writes = [_only_its_owner_writes(candle) for candle in LEVELS]
