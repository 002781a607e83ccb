-- The chunks of the ticks, the oldest first: name, and whether each is compressed.
SELECT format('%I.%I', chunk_schema, chunk_name), coalesce(is_compressed, false)
FROM timescaledb_information.chunks
JOIN pg_namespace ON nspname = hypertable_schema
JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = hypertable_name
WHERE pg_class.oid = to_regclass('stocks_real_time')
ORDER BY range_start, 1;
