-- The symbols of a feed with an open gap that reaches into a time.
SELECT DISTINCT symbol
FROM ticks_platform.feed_gap
WHERE feed = %(feed)s AND state = 'open' AND ends_at > %(begin)s AND begins_at < %(end)s
ORDER BY symbol;
