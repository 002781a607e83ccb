"""Rows as tables in the UI: what a check found, what a run did."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

Metadata = dict[str, dg.MetadataValue]


def table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows as the UI shows them: numbers stay numbers, all else becomes text."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    key: "none" if value is None else value if isinstance(value, int | float) else str(value)
                    for key, value in row.items()
                }
            )
            for row in rows
        ]
    )


def examples(rows: Iterable[Mapping[str, Any]], name: str = "examples") -> Metadata:
    """A table of that name; nothing where there are no rows."""
    rows = list(rows)
    return {name: table(rows)} if rows else {}
