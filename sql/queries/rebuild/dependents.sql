-- What reads these candles, except continuous aggregates: name, kind, whether it has options of its own, and its definition.
SELECT DISTINCT
    dependent.oid::regclass::text,
    dependent.relkind::text,
    dependent.reloptions IS NOT NULL,
    pg_get_viewdef(dependent.oid)
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid
JOIN pg_class AS dependent ON dependent.oid = ev_class
JOIN pg_namespace ON pg_namespace.oid = dependent.relnamespace
WHERE pg_depend.classid = 'pg_rewrite'::regclass
    AND refobjid = ANY (%(candles)s::regclass[]::oid[])
    AND nspname <> '_timescaledb_internal'
    AND NOT EXISTS (
        SELECT FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = nspname AND view_name = dependent.relname
    )
ORDER BY 1;
