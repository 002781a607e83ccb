-- The closed buckets of a candle that may have changed: the newest, which the refresh policy reaches, and those that were refreshed since
-- a moment. Each with a digest of what it shows. Sums of floats depend on the order of their parts, so volume is rounded.
SELECT bucket, sum(hashtextextended(
    concat_ws('|', symbol, open, high, low, close, tick_count, price_count, day_volume, round(volume::numeric, 4)), 0
))::text
FROM {candle}
WHERE bucket <= clock_timestamp() - %(width)s - %(settled)s
    AND (
        bucket > clock_timestamp() - %(window)s
        OR bucket = ANY (ARRAY(
            SELECT refreshed.bucket FROM ticks_platform.candle_refresh AS refreshed
            WHERE candle = %(candle)s AND refreshed_at > %(since)s
            ORDER BY refreshed.bucket DESC LIMIT %(most)s
        ))
    )
GROUP BY bucket
ORDER BY bucket
