-- The closed buckets of a candle, older than the given window, whose number of ticks and corrections is not
-- the one that was last refreshed.
SELECT counted.bucket, counted.loaded
FROM (
    SELECT time_bucket(%(width)s, hour) AS bucket, sum(loaded)::bigint AS loaded
    FROM ticks_platform.feed_hour
    WHERE destination IN ('stocks_real_time', 'tick_correction') AND isfinite(hour)
    GROUP BY time_bucket(%(width)s, hour)
) AS counted
LEFT JOIN ticks_platform.candle_refresh AS done ON done.candle = %(candle)s AND done.bucket = counted.bucket
WHERE counted.loaded IS DISTINCT FROM done.loaded
    AND counted.bucket + %(width)s <= now()
    AND counted.bucket + greatest(%(width)s - INTERVAL '1 hour', INTERVAL '0') < now() - %(window)s
ORDER BY counted.bucket;
