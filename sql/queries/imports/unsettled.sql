-- The files of a feed that are loaded, whose candles and gaps are not settled.
SELECT journal_id::text, format, first_time, last_time
FROM ticks_platform.feed_import
WHERE feed = %(feed)s AND finished_at IS NOT NULL AND settled_at IS NULL
ORDER BY first_time;
