-- What reads these candles, directly or through other views, except continuous aggregates: name, kind, whether it has options of its own,
-- whether it reads a candle itself, and its definition. A view comes after those that it reads.
WITH RECURSIVE dependent (oid, depth) AS (
    SELECT refobjid, 0 FROM unnest(%(candles)s::regclass[]::oid[]) AS refobjid
    UNION
    SELECT ev_class, depth + 1
    FROM dependent
    JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = dependent.oid AND classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite ON pg_rewrite.oid = objid
    WHERE ev_class <> dependent.oid
)
SELECT pg_class.oid::regclass::text, relkind::text, reloptions IS NOT NULL, min(depth) = 1, pg_get_viewdef(pg_class.oid)
FROM dependent
JOIN pg_class USING (oid)
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE depth > 0
    AND nspname <> '_timescaledb_internal'
    AND NOT EXISTS (
        SELECT FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = nspname AND view_name = relname
    )
GROUP BY pg_class.oid, relkind, reloptions
ORDER BY max(depth), 1;
