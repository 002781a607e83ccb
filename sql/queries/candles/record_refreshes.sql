-- Records how many ticks the refreshed buckets of a candle had when the refresh began.
INSERT INTO ticks_platform.candle_refresh (candle, bucket, loaded, refreshed_at)
SELECT %(candle)s, begin, loaded, now()
FROM unnest(%(buckets)s::timestamptz[], %(loaded)s::bigint[]) AS done (begin, loaded)
ON CONFLICT (candle, bucket) DO UPDATE SET loaded = excluded.loaded, refreshed_at = excluded.refreshed_at;
