-- The columns of the new candle that the old one can fill, and the column of the old one that fills each. A candle of a release
-- without price_count was made of ticks that all formed prices.
SELECT attname, CASE WHEN attname = ANY (known) THEN attname ELSE 'tick_count' END
FROM pg_attribute
CROSS JOIN (
    SELECT array_agg(attname) AS known
    FROM pg_attribute WHERE attrelid = %(old)s::regclass AND attnum > 0 AND NOT attisdropped
) AS old
WHERE attrelid = %(new)s::regclass AND attnum > 0 AND NOT attisdropped
    AND (attname = ANY (known) OR (attname = 'price_count' AND 'tick_count' = ANY (known)))
ORDER BY attnum;
