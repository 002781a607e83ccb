"""What checks show of what they found: rows in a table."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

Metadata = dict[str, dg.MetadataValue]

LAST = {"dagster/priority": "-1"}
"""Tags of checks that heal: in a run of all checks the others see first what there is to be seen."""


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
