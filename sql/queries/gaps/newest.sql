-- The newest gaps of feeds.
SELECT
    feed, symbol, begins_at, ends_at, extract(epoch FROM coalesce(ends_at, %(now)s) - begins_at)::double precision, cause, state,
    rows_repaired, detail
FROM ticks_platform.feed_gap
WHERE feed = ANY (%(feeds)s) AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
ORDER BY begins_at DESC, feed, symbol
LIMIT %(limit)s;
