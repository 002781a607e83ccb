-- How many equal quotes other journals than this one brought, of a time. Times are in microseconds since the Unix epoch.
SELECT
    symbol,
    (extract(epoch FROM time) * 1000000)::bigint,
    bid_price,
    bid_size,
    ask_price,
    ask_size,
    exchange,
    count(*)
FROM stock_quotes
WHERE time BETWEEN %(oldest)s AND %(newest)s AND received_at >= %(since)s AND feed = %(feed)s AND right(quote_id::text, 4) <> %(journal)s
GROUP BY symbol, time, bid_price, bid_size, ask_price, ask_size, exchange;
