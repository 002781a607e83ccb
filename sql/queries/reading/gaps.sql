-- The gaps that have a part in a time; one that lasts has no end.
SELECT begins_at, ends_at, symbol, feed, cause, state, rows_repaired, detail, found_at, changed_at
FROM ticks_platform.feed_gap
WHERE begins_at < %(end)s AND coalesce(ends_at, 'infinity') > %(start)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
    AND (%(feed)s IS NULL OR feed = %(feed)s) AND (%(state)s IS NULL OR state = %(state)s)
