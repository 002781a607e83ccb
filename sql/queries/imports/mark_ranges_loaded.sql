-- Ranges that a file has, and of which nothing was fetched, are loaded, or done where no gap is closed by them.
UPDATE ticks_platform.feed_repair
SET state = %(state)s, journal_id = %(journal_id)s, changed_at = clock_timestamp()
WHERE feed = %(feed)s AND kind = 'trades' AND state = 'wanted' AND pages = 0
    AND begins_at >= %(begin)s AND ends_at <= %(end)s AND symbol = ANY (%(symbols)s);
