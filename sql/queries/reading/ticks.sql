-- Ticks of a time. Those that no candle may be made of are left out, unless they are asked for: cancelled (bit 8), of a secondary feed (16).
SELECT time, symbol, price, size, day_volume, bid, ask, exchange, trade_id, feed, received_at, updates, conditions, tick_id::text AS tick_id,
    ticks_platform.tick_order(time, tick_id) AS place
FROM stocks_real_time
WHERE time >= %(start)s AND time < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
    AND (%(feed)s IS NULL OR feed = %(feed)s)
    AND (%(cancelled)s OR updates IS NULL OR updates & 8 = 0) AND (%(secondary)s OR updates IS NULL OR updates & 16 = 0)
