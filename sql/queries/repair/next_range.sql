-- The range of a feed to continue with, of these kinds and in this time: one that is half fetched, else one of the kind that is
-- named first, else the oldest.
SELECT repair_id, kind, symbol, begins_at, ends_at, cursor, pages, failures
FROM ticks_platform.feed_repair
WHERE feed = %(feed)s AND state = 'wanted' AND coalesce(retry_at <= clock_timestamp(), true)
    AND kind = ANY (%(kinds)s) AND begins_at >= %(begin)s AND ends_at <= %(end)s
ORDER BY pages = 0, array_position(%(kinds)s, kind), begins_at, symbol
LIMIT 1;
