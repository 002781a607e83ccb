"""What the platform needs of a database; checked first, so that the message names what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg2.errors
from psycopg2.extensions import quote_ident

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

OLDEST = (2, 13)

_NOT_LOADED = (
    "TimescaleDB is installed but not loaded: add timescaledb to shared_preload_libraries in the server's "
    "postgresql.conf, and restart the server"
)


class UnusableDatabaseError(ActionRequiredError):
    """The database lacks what the platform needs; the message says what, and what to do."""


class Server(NamedTuple):
    """The TimescaleDB of a database."""

    version: str
    license: str | None
    """`timescale` for the community edition, `apache` for the other one; None where it is not loaded."""


def require_timescaledb(cursor: Cursor) -> Server:
    """Create the extension where it is missing, check its edition, return which it is. Raises UnusableDatabaseError."""
    # Where it is not loaded, CREATE EXTENSION would end the session.
    cursor.execute(sql_files.read("queries/server/extension_is_available.sql"))
    available, loaded = cursor.fetchone() or (False, False)
    if not available:
        raise UnusableDatabaseError(
            "this PostgreSQL has no TimescaleDB: install the extension timescaledb on the server, or set "
            "TICKS_DATABASE_URL to one that has it"
        )
    if not loaded:
        raise UnusableDatabaseError(_NOT_LOADED)
    try:
        sql_files.apply(cursor, "schema/timescaledb.sql")
    except psycopg2.errors.InsufficientPrivilege as error:
        info = cursor.connection.info
        name, user = quote_ident(info.dbname, cursor), quote_ident(info.user, cursor)
        raise UnusableDatabaseError(
            "the user of TICKS_DATABASE_URL may not create the extension timescaledb: let an administrator run "
            f"CREATE EXTENSION timescaledb in this database, or GRANT CREATE ON DATABASE {name} TO {user} "
            f"({str(error).strip()})"
        ) from error
    cursor.execute(sql_files.read("queries/server/version_and_license.sql"))
    server = Server(*(cursor.fetchone() or ("0", None)))
    problem = shortcoming(server)
    if problem:
        raise UnusableDatabaseError(problem)
    return server


def shortcoming(server: Server) -> str | None:
    """What is wrong with this TimescaleDB, for people; None when it will do."""
    release = tuple(int(part) for part in server.version.partition("-")[0].split(".")[:2])
    if release < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        return (
            f"TimescaleDB {server.version} is too old: {wanted} is the oldest that will do. Install a newer one, then "
            "run ALTER EXTENSION timescaledb UPDATE"
        )
    if server.license is None:
        return _NOT_LOADED
    if server.license != "timescale":
        return (
            f"this is the {server.license.capitalize()} edition of TimescaleDB, which has neither "
            "continuous aggregates, which candles are, nor policies, nor the columnstore: use the community edition "
            "(timescaledb.license = timescale in the server's postgresql.conf, and a restart), or another server"
        )
    return None
