-- The ranges of these symbols that overlap a time and have not failed.
SELECT symbol, begins_at, ends_at
FROM ticks_platform.feed_repair
WHERE feed = %(feed)s AND kind = %(kind)s AND state <> 'failed' AND symbol = ANY (%(symbols)s)
    AND ends_at > %(begin)s AND begins_at < %(end)s
ORDER BY symbol;
