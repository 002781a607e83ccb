-- Hours or days that were proven after a moment, or, where none is given, those of the last day: begin, and when they were.
SELECT bucket, compared_at
FROM ticks_platform.level_proof
WHERE candle = %(candle)s AND (compared_at > %(after)s::timestamptz OR %(after)s IS NULL AND bucket >= now() - INTERVAL '1 day')
ORDER BY compared_at, bucket;
