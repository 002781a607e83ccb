-- Looks whether candles that were proven are what they were: those that were not looked at for `fresh`, or for most of a day where the chunk
-- of their ticks is sealed; the longest ago first, as many as `budget`. What is the same is noted. Returns how many candles were looked at,
-- and the begins and ends of spans of time in which one is not.
WITH span AS MATERIALIZED (
    SELECT begins_at, ends_at, candles, hash
    FROM (
        SELECT known.*, sum(candles + 1) OVER (ORDER BY looked_at, begins_at) - candles - 1 AS before
        FROM ticks_platform.proven_candles AS known
        -- What was looked at in the future was when the clock was ahead.
        WHERE (looked_at <= now() - %(fresh)s OR looked_at > now() + INTERVAL '1 minute') AND (looked_at <= now() - INTERVAL '20 hours' OR NOT EXISTS (
            SELECT FROM ticks_platform.sealed_chunk AS sealed
            WHERE known.begins_at >= sealed.begins_at AND known.ends_at <= sealed.ends_at
        ))
    ) AS in_order
    WHERE before < %(budget)s
),
looked AS MATERIALIZED (
    SELECT span.begins_at, span.ends_at, found.candles, (span.candles, span.hash) = (found.candles, found.hash) AS is_same
    FROM span
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS candles,
            coalesce(sum(hash_record_extended(
                (bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count), 0
            )), 0) AS hash
        FROM {table}
        WHERE bucket >= span.begins_at AND bucket < span.ends_at
    ) AS found
),
noted AS (
    UPDATE ticks_platform.proven_candles AS known SET looked_at = now() FROM looked
    WHERE looked.is_same AND known.begins_at = looked.begins_at AND known.ends_at = looked.ends_at
)
SELECT
    coalesce(sum(candles) FILTER (WHERE is_same), 0)::bigint,
    coalesce(array_agg(begins_at ORDER BY begins_at) FILTER (WHERE NOT is_same), '{{}}'),
    coalesce(array_agg(ends_at ORDER BY begins_at) FILTER (WHERE NOT is_same), '{{}}')
FROM looked;
