-- Unique indexes and constraints of the ticks that allow one row of a time stamp: nothing in them but the tutorial's own columns.
SELECT
    coalesce(conname, relname)::text,
    pg_get_indexdef(indexrelid),
    CASE
        WHEN conname IS NULL THEN format('DROP INDEX %I', relname)
        ELSE format('ALTER TABLE stocks_real_time DROP CONSTRAINT %I', conname)
    END
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid AND contype IN ('p', 'u')
WHERE indrelid = to_regclass('stocks_real_time') AND indisunique
    AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = indrelid AND attnum = ANY (indkey) AND attname NOT IN ('time', 'symbol', 'price', 'day_volume')
    );
