"""Which database the platform works on, and how to reach it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.errors
import psycopg2.extensions

import embedded_timescale
from ticks_platform import masking
from ticks_platform.errors import TicksPlatformError
from ticks_platform.paths import state_dir
from ticks_platform.timescale import privileges, sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

CONNECT_TIMEOUT = 10
"""Seconds."""


_BAD_URL = (
    "TICKS_DATABASE_URL is not a URL that PostgreSQL understands; it has to look like "
    "postgresql://user:password@host:5432/name, with special characters percent-encoded"
)

_HOSTS = re.compile(r"(?:(?:\[[^\]@]*\]|[^:,@\[\]]*)(?::\d*)?(?:,|$))+")
"""Hosts of a URL, with their ports or without."""


def storable(text: str) -> str:
    """A text as the database can hold it: it has no NUL and no half of a surrogate pair, which messages may have."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


class DatabaseUnavailableError(TicksPlatformError):
    """The database cannot be reached; the message says which one, without its password."""


class UnsupportedEncodingError(DatabaseUnavailableError):
    """The database cannot hold every text; the message says what to do."""


class SessionConnection(psycopg2.extensions.connection):
    """A connection whose session has our settings, whatever the environment, the role and the database say."""

    is_pooled = False
    """Whether each transaction may be another session's: PgBouncer in transaction mode."""

    def begin(self, cursor: Cursor) -> None:
        """Begin a transaction with our settings, where its session may not have them."""
        if self.is_pooled:
            _apply_settings(cursor, local=True)


def _apply_settings(cursor: Cursor, *, local: bool) -> None:
    cursor.execute(sql_files.read("queries/server/session_settings.sql"), {"local": local})


class Database:
    """A TimescaleDB: the one at a URL, or the embedded one, which is started when it is first needed."""

    def __init__(self, url: str | None) -> None:
        """`url` is ``postgresql://…``; None or an empty one means the embedded database."""
        self._url = url.replace("postgresql+psycopg2://", "postgresql://", 1) if url else None

    @classmethod
    def from_environment(cls) -> Database:
        """The database of ``TICKS_DATABASE_URL``, or the embedded one."""
        return cls(os.environ.get("TICKS_DATABASE_URL"))

    @property
    def description(self) -> str:
        """What to call this database in messages and in the UI; never has a password in it."""
        if self._url is None:
            return "embedded TimescaleDB (for trying, developing and testing)"
        # By hand: the library that reads such addresses costs every process 17 MB.
        scheme, colon, rest = self._url.partition("://")
        authority, slash, name = rest.partition("/")
        credentials, at, hosts = authority.rpartition("@")
        if not (colon and scheme.isalpha()) or not _HOSTS.fullmatch(hosts) or "@" in name:
            # A slash that nobody encoded may be the password's, and so may what follows it, or what should be a port.
            return "the database of TICKS_DATABASE_URL"
        user, has_password, _ = credentials.partition(":")
        return masking.mask(f"{scheme}://{user}{':***' if has_password else ''}{at}{hosts}{slash}{name}")

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded one: one session, for all clients in turns."""
        return self._url is None

    def url(self) -> str:
        """The URL for libpq, with its password. Raises DatabaseUnavailableError when the embedded one cannot start."""
        try:
            return self._url or embedded_timescale.ensure_running(state_dir() / "timescaledb")
        except embedded_timescale.EmbeddedError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def _check_url(self) -> None:
        """Refuse a URL whose password libpq would take for a host or a port, and then repeat in its message."""
        if self._url is None:
            return
        authority, _, rest = self._url.partition("://")[2].partition("/")
        credentials, _, _host = authority.rpartition("@")
        if "@" in credentials or ("@" in rest and ":" in authority and not credentials):
            raise DatabaseUnavailableError(_BAD_URL)

    def connect(self, application_name: str = "ticks_platform") -> SessionConnection:
        """Open a connection of one's own, with our session settings. Raises DatabaseUnavailableError.

        The settings are no startup options, which PgBouncer refuses.
        """
        self._check_url()
        try:
            connection: SessionConnection = psycopg2.connect(
                self.url(),
                connection_factory=SessionConnection,
                application_name=application_name,
                client_encoding="utf8",
                connect_timeout=CONNECT_TIMEOUT,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
            )
        except psycopg2.OperationalError as error:
            raise DatabaseUnavailableError(f"cannot connect to {self.description}: {str(error).strip()}") from None
        except psycopg2.ProgrammingError:
            # Its message would repeat the URL, and the password with it.
            raise DatabaseUnavailableError(_BAD_URL) from None
        try:
            self._prepare_session(connection)
        except psycopg2.Error as error:
            connection.close()
            raise DatabaseUnavailableError(
                f"cannot apply the session settings in {self.description}: {str(error).strip()}"
            ) from None
        except DatabaseUnavailableError:
            connection.close()
            raise
        return connection

    def _prepare_session(self, connection: SessionConnection) -> None:
        encoding = connection.get_parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            raise UnsupportedEncodingError(
                f"{self.description} is encoded in {encoding}, which cannot hold every name and message: create a "
                "database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, move the tables to it with "
                "pg_dump and pg_restore if there are any, and set TICKS_DATABASE_URL to it"
            )
        connection.autocommit = True
        with connection.cursor() as cursor:
            # PgBouncer invents the number of the process, since each transaction may be another one's. The embedded
            # database has none.
            cursor.execute("SELECT pg_backend_pid()")
            connection.is_pooled = cursor.fetchone() not in [(0,), (connection.get_backend_pid(),)]
            # Also where it is pooled: for statements outside of transactions, which most often follow in that session.
            _apply_settings(cursor, local=False)
        connection.autocommit = False
        # With each BEGIN, which needs no session.
        connection.isolation_level = psycopg2.extensions.ISOLATION_LEVEL_READ_COMMITTED

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """One transaction on a connection of its own: committed at the end, rolled back when the body raises.

        What the user may not do is a MissingPrivilegeError, with the GRANT.
        """
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                connection.begin(cursor)
                yield cursor
        except psycopg2.errors.InsufficientPrivilege as error:
            raise privileges.explained(error, connection.info.user) from error
        finally:
            connection.close()

    @contextmanager
    def autocommit(self) -> Iterator[Cursor]:
        """A connection outside of any transaction, as refreshes and policies need it."""
        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        except psycopg2.errors.InsufficientPrivilege as error:
            raise privileges.explained(error, connection.info.user) from error
        finally:
            connection.close()
