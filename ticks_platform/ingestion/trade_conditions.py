"""The rules of trade conditions in the database, for queries. The platform itself reads those of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.extras import execute_values

from ticks_platform.feeds.polygon.conditions import packaged_rules
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def store(cursor: Cursor) -> None:
    """Add the package's rules to ``ticks_platform.trade_condition``; those of earlier versions stay."""
    execute_values(cursor, sql_files.read("queries/tables/add_trade_conditions.sql"), packaged_rules().rules)
