-- The provider's bars of one length that begin in a time.
SELECT start_time AS bucket, symbol, open_price AS open, high_price AS high, low_price AS low, close_price AS close, volume,
    average_price, feed, received_at
FROM stock_aggregates
WHERE start_time >= %(start)s AND start_time < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
    AND (%(feed)s IS NULL OR feed = %(feed)s) AND end_time = start_time + %(every)s
