-- The range of a feed to continue with: one that is half fetched, else the oldest.
SELECT repair_id, symbol, begins_at, ends_at, cursor, pages, failures
FROM ticks_platform.feed_repair
WHERE feed = %(feed)s AND state = 'wanted' AND coalesce(retry_at <= clock_timestamp(), true)
ORDER BY pages = 0, begins_at, symbol
LIMIT 1;
