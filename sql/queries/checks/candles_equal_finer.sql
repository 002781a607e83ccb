-- What the candles of one span of time should be, recomputed from the next finer ones, of which each symbol has one a bucket.
-- candles_compared.sql compares the candles with it.
SELECT
    time_bucket(%(width)s, bucket) AS bucket,
    symbol,
    (array_agg(open ORDER BY bucket) FILTER (WHERE open IS NOT NULL))[1] AS open,
    max(high) AS high,
    min(low) AS low,
    (array_agg(close ORDER BY bucket DESC) FILTER (WHERE close IS NOT NULL))[1] AS close,
    (array_agg(day_volume ORDER BY bucket DESC) FILTER (WHERE day_volume IS NOT NULL))[1] AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count,
    sum(price_count)::bigint AS price_count
FROM {finer}
WHERE bucket >= %(begin)s AND bucket < %(end)s
GROUP BY time_bucket(%(width)s, bucket), symbol
