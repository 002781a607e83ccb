"""Where rows are read from: a connection over SQLAlchemy, the platform's or the caller's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg2.errors
import sqlalchemy as sa

from ticks_platform import env_file
from ticks_platform.reading.arguments import ReadingError
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database, SessionConnection

From: TypeAlias = "Database | str | sa.URL | sa.Engine | sa.Connection | None"
"""The platform's database (None), another one, its URL, or an engine or a connection of the caller's own, with
psycopg2 as its driver."""

_MISSING = (
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedColumn,
    psycopg2.errors.UndefinedFunction,
    psycopg2.errors.InvalidSchemaName,
)

_DRIVER = re.compile(r"postgres(?:ql)?\+\w+(?=://)")


class Source:
    """One database to read from."""

    def __init__(self, given: From) -> None:
        self._own = given if isinstance(given, sa.Engine | sa.Connection) else None
        if self._own is not None and self._own.dialect.driver != "psycopg2":
            raise ReadingError(
                f"the connection's driver is {self._own.dialect.name}+{self._own.dialect.driver}: give one that "
                "sqlalchemy.create_engine('postgresql+psycopg2://…') makes, or a URL"
            )
        if isinstance(given, sa.URL):
            given = given.render_as_string(hide_password=False)
        if isinstance(given, str):
            # Of a URL for SQLAlchemy, whichever driver it names: the platform has its own.
            given = _DRIVER.sub("postgresql", given.strip(), count=1)
            if not given.startswith(("postgresql://", "postgres://")):
                raise ReadingError(
                    "database= is no URL of PostgreSQL: it has to look like postgresql://user:password@host:5432/name"
                )
            given = Database(given)
        if self._own is None and given is not None and not isinstance(given, Database):
            kind = type(given)
            raise ReadingError(
                f"database= is a {kind.__module__}.{kind.__qualname__}: give a URL, or an engine or a connection that "
                "sqlalchemy.create_engine('postgresql+psycopg2://…') makes; of a Session, its connection()"
            )
        self._database = given if isinstance(given, Database) else None
        if given is None:
            # As the platform's processes do: the environment first, then the project's .env.
            name = "TICKS_DATABASE_URL"
            self._database = Database(os.environ.get(name) or env_file.read().get(name))

    def url(self) -> str:
        """For libpq, with the password. Raises ReadingError for a connection, whose transaction is the caller's."""
        if isinstance(self._own, sa.Connection):
            raise ReadingError("to='arrow' and to='polars' open a connection of their own: give a URL or an engine")
        if self._own is not None:
            url = self._own.url.set(drivername="postgresql")
            return url.render_as_string(hide_password=False)
        assert self._database is not None
        return self._database.url()

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection, in a transaction that only reads; the caller's own connection as it is.

        Raises DatabaseUnavailableError where the platform's database cannot be reached, and, of what is asked there,
        ReadingError where the tables are missing.
        """
        with self._connect() as connection:
            try:
                yield connection
            except sa.exc.DBAPIError as error:
                if isinstance(error.orig, _MISSING):
                    what = str(error.orig).partition("\n")[0]
                    raise ReadingError(
                        f"this database does not have all tables of the platform ({what}): `ticks dev` creates them in "
                        "its first minute, and so does Dagster's job bring_up; or is it another database that "
                        "TICKS_DATABASE_URL or database= has to mean?"
                    ) from None
                raise

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        if isinstance(self._own, sa.Connection):
            yield self._own
            return
        if self._own is not None:
            with self._own.connect() as connection:
                yield connection.execution_options(postgresql_readonly=True)
            return
        assert self._database is not None
        # A connection that nobody keeps open: notebooks stay open for days.
        engine = sa.create_engine("postgresql+psycopg2://", creator=self._database.connect, poolclass=sa.NullPool)
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, SessionConnection)
            with raw.cursor() as cursor:
                raw.begin(cursor)
            yield connection

    @property
    def streams(self) -> bool:
        """Whether a result may be left half read. The embedded database has one session for all its clients, who would
        wait meanwhile."""
        return self._own is not None or (self._database is not None and not self._database.is_embedded)


def execute(connection: sa.Connection, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """All rows of a file under ``sql/``."""
    return connection.exec_driver_sql(sql_files.read(name), dict(parameters)).all()
