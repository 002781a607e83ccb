-- What was received was asked for: symbols are in feeds.yaml at least since these moments, which an owner could not say that was killed
-- before its first commit, or before that of changed settings. Moments within an earlier time in which they were tell nothing new.
-- A moment may be another one than was said before, by a wrong clock.
UPDATE ticks_platform.feed_symbol AS known SET wanted_from = given.begins_at
FROM (
    SELECT symbol, min(begins_at) AS begins_at, array_agg(wrong) AS wrong
    FROM unnest(%(symbols)s::text[], %(begins)s::timestamptz[], %(wrong)s::timestamptz[]) AS given (symbol, begins_at, wrong)
    WHERE NOT EXISTS (
        SELECT FROM ticks_platform.feed_symbol AS earlier
        WHERE earlier.feed = %(feed)s AND earlier.symbol = given.symbol AND earlier.wanted_until > given.begins_at
    )
    GROUP BY symbol
) AS given
WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND known.wanted_until IS NULL
    AND (known.wanted_from > given.begins_at OR known.wanted_from = ANY (given.wrong));
