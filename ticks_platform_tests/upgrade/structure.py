"""What a database of the platform is made of, as texts that do not depend on where it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_LINES = """
WITH relation AS (
    SELECT pg_class.oid, pg_class.oid::regclass::text AS name, relkind
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('public', 'ticks_platform')
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = pg_class.oid AND classid = 'pg_class'::regclass AND deptype = 'e'
        )
)
SELECT concat_ws(' ', 'column', name, attname, format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'NOT NULL' END, nullif(attidentity, ''),
    pg_get_expr(adbin, adrelid), quote_nullable(col_description(attrelid, attnum)))
FROM relation
JOIN pg_attribute ON attrelid = relation.oid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT concat_ws(' ', 'relation', name, relkind, quote_nullable(obj_description(oid, 'pg_class')))
FROM relation
WHERE relkind IN ('r', 'v', 'S')
UNION ALL
-- Those of columns that are not null are said of the columns.
SELECT concat_ws(' ', 'constraint', name, conname, pg_get_constraintdef(pg_constraint.oid))
FROM relation
JOIN pg_constraint ON conrelid = relation.oid
WHERE contype <> 'n'
UNION ALL
SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid))
FROM relation
JOIN pg_index ON indrelid = relation.oid
UNION ALL
SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(pg_trigger.oid))
FROM relation
JOIN pg_trigger ON tgrelid = relation.oid
JOIN pg_proc ON pg_proc.oid = tgfoid
-- TimescaleDB's own have the hypertable's number in them.
WHERE NOT tgisinternal AND pronamespace <> '_timescaledb_functions'::regnamespace
UNION ALL
-- A candle's own view names the table of its materialization, which has a number.
SELECT concat_ws(' ', 'view', name, pg_get_viewdef(oid))
FROM relation
WHERE relkind = 'v' AND name NOT IN (SELECT view_name FROM timescaledb_information.continuous_aggregates)
UNION ALL
SELECT concat_ws(' ', 'candle', view_name, materialized_only, view_definition)
FROM timescaledb_information.continuous_aggregates
UNION ALL
SELECT concat_ws(' ', 'hypertable', hypertable_name, dimension_number, column_name, time_interval)
FROM timescaledb_information.dimensions
WHERE hypertable_schema = 'public'
UNION ALL
SELECT concat_ws(' ', 'columnstore', relid::regclass, segmentby, orderby, orderby_desc)
FROM _timescaledb_catalog.compression_settings
JOIN relation ON relation.oid = relid
UNION ALL
SELECT concat_ws(' ', 'function', pg_proc.oid::regprocedure, prokind, provolatile, proconfig, prosrc,
    quote_nullable(obj_description(pg_proc.oid, 'pg_proc')))
FROM pg_proc
WHERE pronamespace = 'ticks_platform'::regnamespace
ORDER BY 1
"""

_OBJECTS = """
SELECT concat_ws(' ', relname, pg_class.oid, relfilenode)
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname IN ('public', 'ticks_platform')
UNION ALL
SELECT concat_ws(' ', job_id, application_name, schedule_interval, config, scheduled)
FROM timescaledb_information.jobs
WHERE job_id >= 1000
ORDER BY 1
"""


def structure(cursor: Cursor) -> list[str]:
    """Columns, constraints, indexes, views, candles and functions, each with all that is said of it."""
    cursor.execute(_LINES)
    return [row[0] for row in cursor.fetchall()]


def objects(cursor: Cursor) -> list[str]:
    """The very tables, indexes and jobs: others where something was created again."""
    cursor.execute(_OBJECTS)
    return [row[0] for row in cursor.fetchall()]
