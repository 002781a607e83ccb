"""Inserts rows of symbols; a symbol that the database will not take does not hold up the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import store_items

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


def insert_by_symbol(cursor: Cursor, query: str, values: list[tuple[Any, ...]], template: str | None = None) -> None:
    """Insert rows that begin with feed and symbol. A symbol that no index can hold, for example, is logged and left
    out: its ticks cannot be stored either. Raises psycopg2.Error if the symbols are not at fault.
    """

    def insert(rows: list[tuple[Any, ...]]) -> None:
        execute_values(cursor, sql_files.read(query), rows, template=template, page_size=1000)

    for rows, error in store_items(cursor, values, insert, only_data=True):
        for feed, symbol, *_ in rows:
            logger.error("feed %s: no coverage of symbol %.40s is stored: %s", feed, symbol, first_line(error))
