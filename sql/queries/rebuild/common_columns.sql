-- The columns that the old and the new candle both have.
SELECT attname
FROM pg_attribute
WHERE attrelid = %(new)s::regclass AND attnum > 0 AND NOT attisdropped
    AND attname IN (
        SELECT attname FROM pg_attribute WHERE attrelid = %(old)s::regclass AND attnum > 0 AND NOT attisdropped
    )
ORDER BY attnum;
