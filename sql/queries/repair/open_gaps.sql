-- The gaps of a feed that are open and have ended, oldest first.
SELECT gap_id, symbol, begins_at, ends_at
FROM ticks_platform.feed_gap
WHERE feed = %(feed)s AND state = 'open' AND ends_at IS NOT NULL
ORDER BY begins_at, symbol;
