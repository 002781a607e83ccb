-- Candles with the provider's bars in minutes of a gap, which one_minute_candle_filled tells apart.
SELECT
    time_bucket(%(every)s, bucket) AS bucket,
    symbol,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count,
    CASE WHEN min(source) = max(source) THEN min(source) ELSE 'both' END AS source
FROM one_minute_candle_filled
WHERE bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
GROUP BY time_bucket(%(every)s, bucket), symbol
