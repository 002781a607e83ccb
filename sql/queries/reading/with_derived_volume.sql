-- Candles, with the volume that one_minute_candle_volume derives from the volume of the day where there are no sizes. That view reads all
-- minutes of a symbol; this reads those of the day before, in which the day that is being counted has begun.
WITH candle AS MATERIALIZED ({candles}),
minute AS (
    SELECT bucket, symbol,
        coalesce(volume, greatest(day_volume_high - coalesce(
            max(day_volume_high) OVER (PARTITION BY symbol, counting ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ), 0) * CASE WHEN day_volume_high IS NOT NULL THEN 1 END) AS volume
    FROM (
        SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (PARTITION BY symbol ORDER BY bucket) AS counting
        FROM (
            SELECT bucket, symbol, volume, day_volume_high,
                lag(day_volume_high) OVER (PARTITION BY symbol, day_volume_high IS NULL ORDER BY bucket) AS previous
            FROM one_minute_candle
            WHERE bucket >= %(start)s - INTERVAL '1 day' AND bucket < %(end)s
                AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
        ) AS minutes
    ) AS counted
),
derived AS (
    SELECT time_bucket(%(every)s, bucket) AS bucket, symbol, sum(volume) AS volume
    FROM minute
    WHERE bucket >= %(start)s
    GROUP BY time_bucket(%(every)s, bucket), symbol
)
SELECT candle.bucket, candle.symbol, open, high, low, close, coalesce(candle.volume, derived.volume) AS volume, day_volume, tick_count, price_count
FROM candle
LEFT JOIN derived ON derived.bucket = candle.bucket AND derived.symbol = candle.symbol
