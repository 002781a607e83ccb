-- The ticks without a trade id that one journal brought in a time; the last four digits of a tick_id are the journal's number.
-- Times are in microseconds since the Unix epoch.
SELECT
    symbol,
    (extract(epoch FROM time) * 1000000)::bigint,
    price,
    day_volume,
    size,
    bid,
    ask,
    exchange,
    (extract(epoch FROM received_at) * 1000000)::bigint
FROM stocks_real_time
WHERE time BETWEEN %(oldest)s AND %(newest)s AND received_at BETWEEN %(since)s AND %(until)s AND feed = %(feed)s
    AND coalesce(trade_id, '') = '' AND right(tick_id::text, 4) = %(journal)s;
