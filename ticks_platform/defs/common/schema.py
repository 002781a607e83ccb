"""A table's columns, for the UI."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ticks_platform.timescale import tables

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def table_metadata(cursor: "Cursor", table: str) -> dict[str, Any]:
    """Name and columns of a table, under the keys that Dagster knows."""
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in tables.columns(cursor, table)
        ]
    )
    return {"dagster/table_name": f"public.{table}", "dagster/column_schema": schema}
