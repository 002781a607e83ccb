-- What was asked for already of the trades of these symbols in a time, and whether in vain: that is not asked for again by itself.
SELECT symbol, begins_at, ends_at, state = 'failed'
FROM ticks_platform.feed_repair AS known
JOIN unnest(%(symbols)s::text[]) AS given (symbol) USING (symbol)
WHERE feed = %(feed)s AND kind = 'trades' AND ends_at > %(begin)s AND begins_at < %(end)s
ORDER BY symbol, begins_at;
