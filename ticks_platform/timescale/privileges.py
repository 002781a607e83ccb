"""What the user of a database may not do, with the statement that lets it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import psycopg2.errors

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_DENIED = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>\S+)\s*$", re.MULTILINE)
_NOT_OWNER = re.compile(r"must be (?:the )?owner of (?P<kind>[a-z ]+?) (?P<name>\S+)\s*$", re.MULTILINE)

_GRANTS = {
    "database": "CREATE, TEMPORARY ON DATABASE",
    "schema": "USAGE, CREATE ON SCHEMA",
    "table": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "view": "SELECT ON TABLE",
    "sequence": "USAGE ON SEQUENCE",
}
"""What the platform needs, by the kind of object that PostgreSQL's message names."""


class MissingPrivilegeError(psycopg2.errors.InsufficientPrivilege):
    """The user may not do it; the message has the statement that lets it."""

    # psycopg2 sets it only on what comes from the server.
    pgcode = "42501"


def explained(error: psycopg2.errors.InsufficientPrivilege, user: str) -> MissingPrivilegeError:
    """The error, with what to do."""
    if isinstance(error, MissingPrivilegeError):
        return error
    first = str(error).strip().partition("\n")[0]
    return MissingPrivilegeError(f"{first}. {remedy(first, user)}")


def remedy(message: str, user: str) -> str:
    """Who has to run which statement so that this user may do what PostgreSQL's message denies."""
    denied, not_owner = _DENIED.search(message), _NOT_OWNER.search(message)
    if denied is not None and denied["kind"] in _GRANTS:
        name = _qualified(denied["name"]) if denied["kind"] in ("table", "view") else denied["name"]
        return f'Let its owner run GRANT {_GRANTS[denied["kind"]]} {name} TO "{user}"'
    if not_owner is not None:
        return (
            f'Only its owner may do that: let a superuser run GRANT owner TO "{user}" with that role for owner, or set '
            "TICKS_DATABASE_URL to the owner's login"
        )
    return "`ticks doctor` says what is missing; sql/grants/roles.sql and sql/grants/writer.sql grant all of it"


def missing(cursor: Cursor) -> list[tuple[str, str]]:
    """What the platform has to do to create its tables and the current user may not: in words, and the statement."""
    cursor.execute(sql_files.read("queries/status/missing_grants.sql"))
    return cursor.fetchall()


def _qualified(name: str) -> str:
    """A table's name with its schema, which PostgreSQL's message does not tell."""
    own = {PurePosixPath(file).stem for file in sql_files.MACHINERY}
    return f"ticks_platform.{name}" if name in own else name
