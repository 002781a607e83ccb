-- The files of a feed that are loaded, whose candles and gaps are not settled; and those that are given, whether they are or not.
SELECT journal_id::text, format, first_time, last_time, settled_at IS NOT NULL
FROM ticks_platform.feed_import
WHERE feed = %(feed)s AND finished_at IS NOT NULL AND (settled_at IS NULL OR journal_id = ANY (%(again)s::uuid[]))
ORDER BY first_time;
