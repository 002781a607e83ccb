-- The relations that have names of ours: what each is, its columns with their types, and whether a unique index of its column symbol
-- lets rows be replaced.
SELECT
    name,
    CASE
        WHEN EXISTS (
            SELECT FROM timescaledb_information.continuous_aggregates
            WHERE view_schema = nspname AND view_name = relname
        ) THEN 'continuous aggregate'
        ELSE CASE relkind
            WHEN 'r' THEN 'table'
            WHEN 'p' THEN 'partitioned table'
            WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'materialized view'
            WHEN 'f' THEN 'foreign table'
            WHEN 'S' THEN 'sequence'
            ELSE 'relation'
        END
    END AS kind,
    (
        SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}')
        FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    ) AS columns,
    (
        SELECT coalesce(array_agg(format_type(atttypid, NULL) ORDER BY attnum), '{}')
        FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    ) AS types,
    EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = pg_class.oid AND indisunique AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = 1
            AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'symbol')
    ) AS symbol_is_unique
FROM unnest(%(names)s) AS name
JOIN pg_class ON pg_class.oid = to_regclass(quote_ident(name))
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY array_position(%(names)s, name);
