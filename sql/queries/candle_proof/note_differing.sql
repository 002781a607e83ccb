-- Notes which buckets of what was compared have a candle that differs, and forgets the others of it.
WITH forgotten AS (
    DELETE FROM ticks_platform.differing_candle
    WHERE candle = %(candle)s AND bucket <> ALL (%(buckets)s::timestamptz[]) AND EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS compared (begins_at, ends_at)
        WHERE bucket >= begins_at AND bucket < ends_at
    )
)
INSERT INTO ticks_platform.differing_candle (candle, bucket, found_at)
SELECT %(candle)s, bucket, now()
FROM unnest(%(buckets)s::timestamptz[]) AS given (bucket)
ORDER BY bucket
ON CONFLICT DO NOTHING;
