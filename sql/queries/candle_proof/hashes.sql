-- The hash of the candles of some spans of time, and their number: begin, candles, hash. As a sum, it may be added up.
SELECT span.begins_at, found.candles, found.hash
FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS span (begins_at, ends_at)
CROSS JOIN LATERAL (
    SELECT
        count(*) AS candles,
        coalesce(sum(hash_record_extended(
            (bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count), 0
        )), 0) AS hash
    FROM {table}
    WHERE bucket >= span.begins_at AND bucket < span.ends_at
) AS found;
