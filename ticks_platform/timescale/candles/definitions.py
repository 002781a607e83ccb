"""Whether the candles in the database match their files. The database compares them; no SQL is parsed here."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_SHAPE = re.compile(
    r"\bCREATE MATERIALIZED VIEW IF NOT EXISTS (?P<name>\w+)\s+WITH \((?P<options>[^)]*)\) AS\s+(?P<select>SELECT\b.*?)"
    r"\s+WITH NO DATA;",
    re.DOTALL,
)
_LIVE = re.compile(r"\btimescaledb\.materialized_only\s*=\s*false\b")


class DefinitionError(ActionRequiredError):
    """A candle's file that cannot be used; the message says why."""


class Found(NamedTuple):
    """A candle as the database has it."""

    select: str
    materialized_only: bool
    materialization: str
    """The table that holds it, quoted."""


class Drift(NamedTuple):
    """How a candle in the database differs from its file."""

    select: list[str]
    """The lines of a unified diff of the two definitions, as the database writes them; empty when they are the same."""
    materialized_only: bool | None
    """The value in the database, when the file has the opposite."""

    @property
    def words(self) -> str:
        """The differences in one line."""
        parts = ["its SELECT is not that of its file"] if self.select else []
        if self.materialized_only is not None:
            file = str(not self.materialized_only).lower()
            parts.append(f"materialized_only is {str(self.materialized_only).lower()}, in its file {file}")
        return "; ".join(parts)


def find(cursor: Cursor, name: str, *, schema: str | None = None) -> Found | None:
    """A candle as the database has it, in a schema or in the current one; None when it is missing."""
    cursor.execute(sql_files.read("queries/candles/stored_definition.sql"), {"candle": name, "schema": schema})
    row = cursor.fetchone()
    return Found(*row) if row else None


def drift(cursor: Cursor, candle: Candle) -> Drift | None:
    """How a candle differs from its file; None when it does not, or when it is not created yet.

    The cursor must be in a transaction; nothing in the database changes. Raises DefinitionError.
    """
    found = find(cursor, candle.name)
    if found is None:
        return None
    shape = _SHAPE.search(sql_files.read(candle.file))
    if shape is None or shape["name"] != candle.name:
        raise DefinitionError(
            f"sql/{candle.file} has to define {candle.name} by CREATE MATERIALIZED VIEW IF NOT EXISTS … WITH (…) "
            "AS SELECT … WITH NO DATA;"
        )
    lines = _difference(cursor, candle, found.select, shape["select"])
    live = _LIVE.search(shape["options"]) is not None
    differs = found.materialized_only is live
    if not lines and not differs:
        return None
    return Drift(lines, found.materialized_only if differs else None)


def _difference(cursor: Cursor, candle: Candle, stored: str, select: str) -> list[str]:
    query = sql_files.compose("queries/candles/declared_definition.sql", select=sql.SQL(select))
    cursor.execute("SAVEPOINT wanted_candle")
    try:
        cursor.execute(query)
        (wanted,) = cursor.fetchone() or ("",)
    except psycopg2.ProgrammingError as error:
        cursor.execute("ROLLBACK TO SAVEPOINT wanted_candle")
        message = str(error).strip()
        # It may name a column that the finer candle gets when that is rebuilt.
        if (
            not isinstance(error, psycopg2.errors.UndefinedColumn)
            or candle.finer is None
            or not drift(cursor, candle.finer)
        ):
            raise DefinitionError(f"sql/{candle.file} cannot be used: {message}") from error
        return [f"sql/{candle.file} reads what {candle.finer.name} does not have until it is rebuilt: {message}"]
    cursor.execute("ROLLBACK TO SAVEPOINT wanted_candle")
    now, then = stored.splitlines(), wanted.splitlines()
    return list(difflib.unified_diff(now, then, "in the database", f"sql/{candle.file}", lineterm=""))
