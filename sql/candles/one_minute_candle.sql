-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_id: many ticks share a time stamp, and first(price, time) then picks any of them.
-- The last five columns make cheap checks possible without reading the ticks again.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_minute_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    symbol,
    first(price, tick_id) AS open,
    max(price) AS high,
    min(price) AS low,
    last(price, tick_id) AS close,
    last(day_volume, tick_id) AS day_volume,
    sum(size) AS volume,
    count(*) AS tick_count,
    min(time) AS first_time,
    max(time) AS last_time,
    min(day_volume) AS day_volume_low,
    max(day_volume) AS day_volume_high
FROM stocks_real_time
GROUP BY time_bucket(INTERVAL '1 minute', time), symbol
WITH NO DATA;
