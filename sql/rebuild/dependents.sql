-- What reads the candles %(candles)s beside themselves: name, kind, whether it is a continuous aggregate, whether it has options of
-- its own, and its definition.
SELECT DISTINCT
    dependent.oid::regclass::text,
    dependent.relname::text,
    dependent.relkind::text,
    EXISTS (
        SELECT FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = nspname AND view_name = dependent.relname
    ),
    dependent.reloptions IS NOT NULL,
    pg_get_viewdef(dependent.oid)
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid
JOIN pg_class AS dependent ON dependent.oid = ev_class
JOIN pg_namespace ON pg_namespace.oid = dependent.relnamespace
WHERE pg_depend.classid = 'pg_rewrite'::regclass
    AND refobjid = ANY (%(candles)s::regclass[]::oid[])
    AND dependent.oid <> ALL (%(candles)s::regclass[]::oid[])
    AND nspname <> '_timescaledb_internal'
ORDER BY 1;
