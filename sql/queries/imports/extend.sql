-- The times and the symbols of a file's ticks, with those of a batch. Of a file that an older release has begun, its symbols stay unknown.
WITH new AS (
    SELECT coalesce(array_agg(symbol), '{}') AS symbols
    FROM (
        SELECT unnest(%(symbols)s::text[]) AS symbol
        EXCEPT
        SELECT unnest(symbols) FROM ticks_platform.feed_import WHERE journal_id = %(journal_id)s
    ) AS others
)
UPDATE ticks_platform.feed_import AS known
SET first_time = least(first_time, %(first)s), last_time = greatest(last_time, %(last)s),
    symbols = CASE WHEN new.symbols = '{}' THEN known.symbols ELSE known.symbols || new.symbols END
FROM new
WHERE journal_id = %(journal_id)s;
