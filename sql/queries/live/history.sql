-- Part of the live page's statement: the newest candles of a symbol before a time, which is in seconds since 1970; and the volume of the
-- day that the first one of them follows, of the day before it, as in derived_volumes.
SELECT 'history' AS part, json_build_object(
    'candles', coalesce(json_agg(json_build_array(
        symbol, extract(epoch FROM bucket)::bigint, open, high, low, close, volume, day_volume, tick_count
    ) ORDER BY bucket), '[]'),
    'follows', (
        SELECT earlier.day_volume
        FROM {candle} AS earlier
        WHERE earlier.symbol = {symbol} AND earlier.bucket < min(candle.bucket) AND earlier.bucket >= min(candle.bucket) - INTERVAL '24 hours'
            AND earlier.day_volume IS NOT NULL
        ORDER BY earlier.bucket DESC
        LIMIT 1
    )
) AS content
FROM (
    SELECT * FROM {candle} WHERE symbol = {symbol} AND bucket < to_timestamp({before}) ORDER BY bucket DESC LIMIT {limit}
) AS candle
