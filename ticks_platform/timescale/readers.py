"""Privileges on the platform's tables: a role that reads, and who else may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class NoSuchRoleError(ActionRequiredError):
    """The role that should read does not exist; the message says how to create it."""


def let_read(cursor: Cursor, role: str) -> int:
    """Let a role read all of the platform's tables and write none; how many there are. Raises NoSuchRoleError."""
    cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,))
    if cursor.fetchone() != (True,):
        raise NoSuchRoleError(
            f"there is no role '{role}', which TICKS_READER_ROLE names: let an administrator make it, as in "
            f'CREATE ROLE "{role}" LOGIN PASSWORD …, or unset the variable'
        )
    cursor.execute("SELECT current_schema()")
    (schema,) = cursor.fetchone() or ("public",)
    cursor.execute(sql_files.read("queries/grants/tables.sql"))
    tables = [sql.Identifier(*name) for name in cursor.fetchall()]
    query = sql_files.compose(
        "grants/reader.sql",
        role=sql.Identifier(role),
        schema=sql.Identifier(schema),
        tables=sql.SQL(", ").join(tables),
    )
    cursor.execute(query)
    return len(tables)


def may_create(cursor: Cursor) -> bool:
    """Whether this role may create and change the platform's tables. A role that only writes rows may not."""
    cursor.execute(sql_files.read("queries/grants/may_create.sql"))
    return cursor.fetchone() == (True,)


def writers(cursor: Cursor, candle: str) -> list[tuple[str, str]]:
    """Who else than its owner may write to a candle, and how."""
    cursor.execute(sql_files.read("queries/checks/only_its_owner_writes.sql"), {"candle": candle})
    return [(role, privileges) for role, privileges in cursor.fetchall()]
