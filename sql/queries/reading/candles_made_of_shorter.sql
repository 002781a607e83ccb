-- Candles of a length that is not stored, of shorter ones, as one_hour_candle is of minutes. `start` and `end` are where buckets begin.
SELECT
    time_bucket(%(every)s, bucket) AS bucket,
    symbol,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
    sum(volume) AS volume,
    last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
    sum(tick_count)::bigint AS tick_count,
    sum(price_count)::bigint AS price_count
FROM {candle}
WHERE bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
GROUP BY time_bucket(%(every)s, bucket), symbol
