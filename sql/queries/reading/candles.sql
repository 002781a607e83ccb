-- Candles of a stored length, of buckets that begin in a time.
SELECT {columns}
FROM {candle}
WHERE bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
