-- The quotes that one journal brought in a time; the last four digits of a quote_id are the journal's number.
-- Times are in microseconds since the Unix epoch.
SELECT
    symbol,
    (extract(epoch FROM time) * 1000000)::bigint,
    bid_price,
    bid_size,
    ask_price,
    ask_size,
    exchange,
    (extract(epoch FROM received_at) * 1000000)::bigint
FROM stock_quotes
WHERE time BETWEEN %(oldest)s AND %(newest)s AND received_at BETWEEN %(since)s AND %(until)s AND feed = %(feed)s
    AND right(quote_id::text, 4) = %(journal)s
-- The end of a quote_id is the position in the journal: in the order in which they were received.
ORDER BY right(quote_id::text, 17);
