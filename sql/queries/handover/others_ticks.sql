-- How many equal ticks without a trade id other journals than this one brought, of a time. Times are in microseconds since the Unix epoch.
SELECT
    symbol,
    (extract(epoch FROM time) * 1000000)::bigint,
    price,
    -- In a tick of an older release that is not converted, it is in a column that new tables do not have.
    coalesce(day_volume, (to_jsonb(stored) ->> 'day_volume_whole')::double precision) AS volume,
    size,
    bid,
    ask,
    exchange,
    count(*)
FROM stocks_real_time AS stored
WHERE time BETWEEN %(oldest)s AND %(newest)s AND received_at >= %(since)s AND feed = %(feed)s
    AND coalesce(trade_id, '') = '' AND right(tick_id::text, 4) <> %(journal)s
GROUP BY symbol, time, price, volume, size, bid, ask, exchange;
