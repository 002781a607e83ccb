-- How many candles a rebuild carries over, and the first and last of their buckets.
SELECT count(*), min(bucket), max(bucket)
FROM {old}
WHERE bucket < %(until)s
    AND NOT EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS span (begins_at, ends_at)
        WHERE bucket >= begins_at AND bucket < ends_at
    );
