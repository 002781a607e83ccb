-- Candles, with the volume that is derived from the volume of the day where there are no sizes.
WITH candle AS MATERIALIZED ({candles}),
derived AS (
    SELECT time_bucket(%(every)s, bucket) AS bucket, symbol, sum(volume) AS volume
    FROM ticks_platform.derived_volumes(%(symbols)s, %(start)s, %(end)s)
    GROUP BY time_bucket(%(every)s, bucket), symbol
)
SELECT candle.bucket, candle.symbol, open, high, low, close, coalesce(candle.volume, derived.volume) AS volume, day_volume, tick_count, price_count
FROM candle
LEFT JOIN derived ON derived.bucket = candle.bucket AND derived.symbol = candle.symbol
