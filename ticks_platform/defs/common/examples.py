"""Rows as tables in the UI: what a check found, what a run did."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from ticks_platform.timescale.candles import explanation
from ticks_platform.timescale.candles.candles import CANDLES

Metadata = dict[str, dg.MetadataValue]


def table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows as the UI shows them: numbers stay numbers, all else becomes text."""
    records = [
        dg.TableRecord(
            {
                key: "none" if value is None else value if isinstance(value, int | float) else str(value)
                for key, value in row.items()
            }
        )
        for row in rows
    ]
    # Dagster derives the columns from the first row, and refuses a table that has none.
    return dg.MetadataValue.table(records, schema=None if records else dg.TableSchema([]))


def examples(rows: Iterable[Mapping[str, Any]], name: str = "examples") -> Metadata:
    """A table of that name; nothing where there are no rows."""
    rows = list(rows)
    return {name: table(rows)} if rows else {}


def explained(rows: Iterable[Mapping[str, Any]], asset: str) -> list[dict[str, Any]]:
    """Rows about buckets of a candle, each with the command that explains it; other rows stay as they are."""
    candle = next((candle for candle in CANDLES if candle.name == asset), None)
    if candle is None:
        return [dict(row) for row in rows]
    return [
        {**row, "explain": explanation.command(row["symbol"], datetime.fromisoformat(row["bucket"]), candle)}
        if row.get("symbol") is not None and row.get("bucket") is not None
        else dict(row)
        for row in rows
    ]
