-- What reads a continuous aggregate: views, and continuous aggregates that are made from it.
SELECT DISTINCT dependent.oid::regclass::text
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid
JOIN pg_class AS dependent ON dependent.oid = ev_class
JOIN pg_namespace ON pg_namespace.oid = dependent.relnamespace
WHERE pg_depend.classid = 'pg_rewrite'::regclass
    AND refobjid = to_regclass(%(candle)s)
    AND dependent.oid <> refobjid
    AND nspname <> '_timescaledb_internal'
UNION
SELECT child.view_name::text
FROM timescaledb_information.continuous_aggregates AS child
JOIN timescaledb_information.continuous_aggregates AS parent
    ON child.hypertable_schema = parent.materialization_hypertable_schema
    AND child.hypertable_name = parent.materialization_hypertable_name
WHERE parent.view_name = %(candle)s AND parent.view_schema = current_schema();
