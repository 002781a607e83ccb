-- The platform's tables that name a symbol: whether they name a feed too, the time by which a hypertable is partitioned, and the columns
-- beside the symbol of each unique key.
SELECT
    format('%%I.%%I', nspname, relname),
    relname,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'feed' AND NOT attisdropped),
    (
        SELECT column_name FROM timescaledb_information.dimensions
        WHERE hypertable_schema = nspname AND hypertable_name = relname AND dimension_number = 1
    ),
    coalesce((
        SELECT jsonb_agg((
            SELECT coalesce(jsonb_agg(attname), '[]') FROM pg_attribute
            WHERE attrelid = indrelid AND attnum = ANY (indkey) AND attname <> 'symbol'
        ))
        FROM pg_index
        WHERE indrelid = pg_class.oid AND indisunique
            AND (SELECT attnum FROM pg_attribute WHERE attrelid = indrelid AND attname = 'symbol') = ANY (indkey)
    ), '[]')
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname IN (current_schema(), 'ticks_platform') AND relname = ANY (%(tables)s)
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'symbol' AND NOT attisdropped)
ORDER BY nspname, relname;
