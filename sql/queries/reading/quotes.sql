-- Best bids and offers of a time.
SELECT time, symbol, bid_price AS bid, bid_size, ask_price AS ask, ask_size, exchange, feed, received_at, quote_id::text AS quote_id
FROM stock_quotes
WHERE time >= %(start)s AND time < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
    AND (%(feed)s IS NULL OR feed = %(feed)s)
