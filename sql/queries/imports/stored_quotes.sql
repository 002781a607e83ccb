-- How often a feed has each quote of these symbols in the time of a batch: of other journals than the file's, and of the file's.
SELECT symbol, (extract(epoch FROM time) * 1000000)::bigint, bid_price, bid_size, ask_price, ask_size,
    count(*) FILTER (WHERE ('x' || right(quote_id::text, 4))::bit(16)::int <> %(journal)s),
    count(*) FILTER (WHERE ('x' || right(quote_id::text, 4))::bit(16)::int = %(journal)s)
FROM stock_quotes
WHERE feed = %(feed)s AND symbol = ANY (%(symbols)s) AND time BETWEEN %(first)s AND %(last)s
GROUP BY 1, 2, 3, 4, 5, 6;
