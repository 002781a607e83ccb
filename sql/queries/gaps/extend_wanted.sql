-- What was received was asked for: symbols are in feeds.yaml at least since these moments, which an owner could not say that was killed
-- before its first commit, or before that of changed settings. Moments within an earlier time in which they were tell nothing new.
-- Given `at`, only what was recorded as of then is changed: what was known before is known. A moment may be another one than was said
-- before, by a wrong clock; then the other coverage tells too.
UPDATE ticks_platform.feed_symbol AS known
SET wanted_from = least(given.begins_at, CASE WHEN known.wanted_from = ANY (given.wrong) THEN (
    SELECT min(begins_at)
    FROM ticks_platform.feed_coverage AS covered
    WHERE covered.feed = known.feed AND covered.symbol = known.symbol AND covered.begins_at > known.wanted_from
        AND NOT (ended_by = 'clock_stepped' AND ends_at = begins_at)
) END)
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
    AND known.wanted_from = coalesce(%(at)s, known.wanted_from)
    AND (known.wanted_from > given.begins_at OR known.wanted_from = ANY (given.wrong));
