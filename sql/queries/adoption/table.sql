-- What the table of ticks is: whether its owner is the current user, whether it is a hypertable with a columnstore, and of which columns,
-- whether other tables inherit from it, its triggers for each row, whether it has row security, and what its constraints demand of a row.
SELECT
    pg_get_userbyid(relowner),
    pg_has_role(relowner, 'USAGE'),
    hypertable_name IS NOT NULL,
    coalesce(compression_enabled, false),
    (
        SELECT coalesce(array_agg(column_name::text ORDER BY dimension_number), '{}')
        FROM timescaledb_information.dimensions
        WHERE hypertable_schema = nspname AND hypertables.hypertable_name = relname AND dimensions.hypertable_name = relname
    ),
    hypertable_name IS NULL AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = pg_class.oid),
    (
        SELECT coalesce(array_agg(tgname::text), '{}')
        FROM pg_trigger
        JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid = pg_class.oid AND NOT tgisinternal AND tgtype & 1 = 1
            AND pronamespace <> '_timescaledb_functions'::regnamespace
            AND pronamespace::regnamespace::text <> '_timescaledb_internal'
    ),
    relrowsecurity,
    (
        SELECT coalesce(array_agg(format('%s: %s', conname, pg_get_constraintdef(pg_constraint.oid)) ORDER BY conname), '{}')
        FROM pg_constraint
        WHERE conrelid = pg_class.oid AND contype IN ('c', 'f')
    )
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN timescaledb_information.hypertables ON hypertable_schema = nspname AND hypertable_name = relname
WHERE pg_class.oid = to_regclass('stocks_real_time');
