-- Records that buckets of a candle were refreshed which rows by hand had changed: nobody counts those, so the number of ticks stays.
INSERT INTO ticks_platform.candle_refresh (candle, bucket, loaded, refreshed_at)
SELECT %(candle)s, begin, 0, now()
FROM unnest(%(buckets)s::timestamptz[]) AS done (begin)
ON CONFLICT (candle, bucket) DO UPDATE SET refreshed_at = excluded.refreshed_at;
