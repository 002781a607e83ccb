-- The fingerprints of some symbols' ticks of these feeds, by feed and hour.
SELECT feed, time_bucket(INTERVAL '1 hour', time), coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0)
FROM stocks_real_time
WHERE time >= %(begin)s AND time < %(end)s AND symbol = ANY (%(symbols)s) AND feed = ANY (%(feeds)s)
GROUP BY 1, 2;
