-- Candles of one hour, from the candles of one minute. Buckets are UTC.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_hour_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    symbol,
    first(open, bucket) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) AS close,
    last(day_volume, bucket) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count
FROM one_minute_candle
GROUP BY time_bucket(INTERVAL '1 hour', bucket), symbol
WITH NO DATA;
