"""The platform in a database for tests: created once and emptied before each test; recreated if its schema changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg2

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.workers import stopped_workers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

FILES = (
    *sql_files.HYPERTABLE,
    *sql_files.MACHINERY,
    "schema/company.sql",
    *(file for candle in CANDLES for file in candle.files),
    *sql_files.CANDLE_REASONS,
)
"""What creates the platform without its policies, under sql/."""

_POLICIES = "SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE job_id >= 1000"

_STATE = """
SELECT
    EXISTS (SELECT FROM timescaledb_information.jobs WHERE job_id >= 1000),
    (
        SELECT string_agg(line, ' ' ORDER BY line)
        FROM (
            SELECT concat('threshold', x) FROM _timescaledb_catalog.continuous_aggs_invalidation_threshold x
            UNION ALL
            SELECT concat('watermark', x) FROM _timescaledb_catalog.continuous_aggs_watermark x
            UNION ALL
            SELECT concat('pending', x) FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log x
        ) AS refreshes (line)
    ),
    coalesce(
        string_agg(
            format(
                CASE WHEN size < 100000 THEN 'DELETE FROM %I.%I;' ELSE 'TRUNCATE %I.%I CASCADE;' END, nspname, relname
            ),
            ' '
        ),
        ''
    )
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
CROSS JOIN pg_relation_size(pg_class.oid) AS size
WHERE nspname IN ('public', 'ticks_platform')
AND relkind = 'r'
AND relname <> 'trade_condition'
AND size > 0
AND NOT EXISTS (
    SELECT FROM _timescaledb_catalog.hypertable WHERE (schema_name, table_name) = (nspname, relname)
)
"""
"""Whether there are policies, how far candles were refreshed, and what empties the tables that are no hypertables and
ever had a row. To delete a few rows is ten times as fast as to truncate a table. trade_condition keeps its rows, which
come with it."""

_TABLES = """
SELECT pg_class.oid::regclass::text
FROM pg_class
WHERE relnamespace = 'public'::regnamespace
AND relkind = 'r'
AND NOT EXISTS (SELECT FROM pg_depend WHERE (classid, objid, deptype) = ('pg_class'::regclass, pg_class.oid, 'e'))
"""
"""The tables of the schema public, but those of an extension."""

_SEQUENCES = """
SELECT setval(seqrelid::regclass, seqstart, false)
FROM pg_sequence
JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace IN ('public'::regnamespace, 'ticks_platform'::regnamespace)
"""

_FUNCTIONS = """
SELECT pg_proc.oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'ticks_platform'::regnamespace
"""
"""The platform's functions and procedures; policies have some of their own."""

_CHUNKS = """
SELECT drop_chunks(name::regclass, older_than => 'infinity'::timestamptz)
FROM _timescaledb_catalog.hypertable
LEFT JOIN _timescaledb_catalog.continuous_agg ON mat_hypertable_id = hypertable.id
CROSS JOIN LATERAL (
    SELECT format('%I.%I', coalesce(user_view_schema, schema_name), coalesce(user_view_name, table_name)) AS name
) AS relation
WHERE compression_state <> 2
AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = format('%I.%I', schema_name, table_name)::regclass)
"""
"""Empties the hypertables and the candles that have chunks."""

_NOTED = "DELETE FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log"
"""What the deletions have noted for the candles."""

_STRUCTURE = """
WITH relation AS (
    SELECT pg_class.*
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('public', 'ticks_platform')
),
line (line) AS (
    SELECT concat_ws(' ', 'schema', oid, nspacl) FROM pg_namespace WHERE nspname IN ('public', 'ticks_platform')
    UNION ALL
    SELECT concat_ws(' ', 'relation', oid, relname, relkind, relchecks, relacl, reloptions) FROM relation
    UNION ALL
    SELECT concat_ws(' ', 'column', attrelid, attnum, xmin)
    FROM pg_attribute
    WHERE attrelid IN (SELECT oid FROM relation)
    UNION ALL
    SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relation)
    UNION ALL
    SELECT concat_ws(' ', 'rule', oid, xmin) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM relation)
    UNION ALL
    SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relation)
    UNION ALL
    SELECT concat_ws(' ', 'function', pg_proc.oid, pg_proc.xmin)
    FROM pg_proc
    JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = 'ticks_platform'
    UNION ALL
    SELECT concat_ws(' ', 'comment', objoid, objsubid, xmin)
    FROM pg_description
    WHERE objoid IN (SELECT oid FROM relation)
    UNION ALL
    SELECT concat_ws(' ', 'hypertable', x) FROM _timescaledb_catalog.hypertable x
    UNION ALL
    SELECT concat_ws(' ', 'dimension', x) FROM _timescaledb_catalog.dimension x
    UNION ALL
    SELECT concat_ws(' ', 'columnstore', x) FROM _timescaledb_catalog.compression_settings x
    UNION ALL
    SELECT concat_ws(' ', 'candle', x) FROM _timescaledb_catalog.continuous_agg x
    UNION ALL
    SELECT concat_ws(' ', 'threshold', x) FROM _timescaledb_catalog.continuous_aggs_invalidation_threshold x
    UNION ALL
    SELECT concat_ws(' ', 'watermark', x) FROM _timescaledb_catalog.continuous_aggs_watermark x
    UNION ALL
    SELECT concat_ws(' ', 'pending', x) FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log x
    UNION ALL
    SELECT concat_ws(' ', 'chunk', id) FROM _timescaledb_catalog.chunk
)
SELECT md5(string_agg(line, ';' ORDER BY line)) FROM line
"""
"""A hash of everything but rows that a test may change; an updated row of the system catalogs has another xmin."""

_REFRESHES = (
    "_timescaledb_catalog.continuous_aggs_invalidation_threshold",
    "_timescaledb_catalog.continuous_aggs_watermark",
    "_timescaledb_catalog.continuous_aggs_materialization_invalidation_log",
)
"""How far candles were refreshed, and which of their ranges must be refreshed again."""

_Refreshes = dict[str, list[tuple[int, ...]]]


class PlatformDatabase:
    """The platform in one database, which tests share one after another."""

    def __init__(self, database: Database, files: Sequence[str], *, native: bool) -> None:
        """`files` under ``sql/`` create the platform; `native` tells whether it has background workers."""
        self._database = database
        self._files = files
        self._native = native
        self._structure: str | None = None
        self._functions: set[str] = set()
        self._refreshes: _Refreshes = {}
        self._refreshed: str | None = None

    def drop(self) -> Database:
        """Drop the platform, whatever its state, and return the database."""
        self._structure = None
        with self._database.autocommit() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            with stopped_workers(cursor, native=self._native):
                for candle in reversed(CANDLES):
                    cursor.execute(f"DROP MATERIALIZED VIEW IF EXISTS {candle.name} CASCADE")
                cursor.execute(_TABLES)
                for (table,) in cursor.fetchall():
                    cursor.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
                cursor.execute("DROP FUNCTION IF EXISTS explain_candle")
                cursor.execute("DROP SCHEMA IF EXISTS ticks_platform CASCADE")
        return self._database

    def reset(self) -> Database:
        """Return the database with hypertable, machinery and candles as if just created, without rows."""
        if not self._empty():
            self.drop()
            with self._database.transaction() as cursor:
                sql_files.apply(cursor, *self._files)
                self._refreshes, self._functions = _refreshes(cursor), _functions(cursor)
                cursor.execute(_STRUCTURE)
                self._structure = _text(cursor)
                cursor.execute(_STATE)
                _, self._refreshed, _ = cursor.fetchone() or (False, None, "")
        return self._database

    def _empty(self) -> bool:
        """Empty the tables; returns whether that is enough: everything else is as if just created."""
        if self._structure is None:
            return False
        try:
            with self._database.transaction() as cursor:
                cursor.execute(_STATE)
                has_policies, refreshed, deletions = cursor.fetchone() or (True, None, "")
                if has_policies:
                    if self._native:
                        return False  # a running job may lock a table
                    cursor.execute(_POLICIES)
                    for function in _functions(cursor) - self._functions:
                        cursor.execute(f"DROP ROUTINE {function}")
                # In one message: what it costs to send another one is as much as most of these cost.
                cursor.execute(
                    f"{_CHUNKS}; SET LOCAL session_replication_role = replica; {deletions} {_SEQUENCES}; {_NOTED};"
                    f"{_STRUCTURE if refreshed == self._refreshed else 'SELECT NULL'}"
                )
                if _text(cursor) == self._structure:
                    return True
                if _refreshes(cursor) != self._refreshes:
                    self._undo_refreshes(cursor)
                cursor.execute(_STRUCTURE)
                return _text(cursor) == self._structure
        except (psycopg2.ProgrammingError, psycopg2.IntegrityError):
            return False  # the schema has changed, and cannot be emptied

    def _undo_refreshes(self, cursor: Cursor) -> None:
        for table, rows in self._refreshes.items():
            cursor.execute(f"DELETE FROM {table}")
            for row in rows:
                cursor.execute(f"INSERT INTO {table} VALUES %s", (row,))


def _refreshes(cursor: Cursor) -> _Refreshes:
    found = {}
    for table in _REFRESHES:
        cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        found[table] = cursor.fetchall()
    return found


def _functions(cursor: Cursor) -> set[str]:
    cursor.execute(_FUNCTIONS)
    return {name for (name,) in cursor.fetchall()}


def _text(cursor: Cursor) -> str | None:
    (text,) = cursor.fetchone() or (None,)
    return text
