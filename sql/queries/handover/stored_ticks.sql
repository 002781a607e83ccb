-- The ticks that are no trades, without an id and a size, that one journal brought in a time; the last four digits of a tick_id are the journal's number.
-- Times are in microseconds since the Unix epoch.
SELECT
    symbol,
    (extract(epoch FROM time) * 1000000)::bigint,
    price,
    -- In a tick of an older release that is not converted, it is in a column that new tables do not have.
    coalesce(day_volume, (to_jsonb(stored) ->> 'day_volume_whole')::double precision),
    size,
    bid,
    ask,
    exchange,
    (extract(epoch FROM received_at) * 1000000)::bigint
FROM stocks_real_time AS stored
WHERE time BETWEEN %(oldest)s AND %(newest)s AND received_at BETWEEN %(since)s AND %(until)s AND feed = %(feed)s
    AND coalesce(trade_id, '') = '' AND size IS NULL AND right(tick_id::text, 4) = %(journal)s
-- The end of a tick_id is the position in the journal: in the order in which they were received.
ORDER BY right(tick_id::text, 17);
