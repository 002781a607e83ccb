-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_id: many ticks share a time stamp, and first(price, time) would pick any of them.
-- The last five columns let checks work without reading the ticks.
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

COMMENT ON COLUMN one_minute_candle.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle.open IS 'Price of the first tick of the minute.';
COMMENT ON COLUMN one_minute_candle.high IS 'Highest price of the minute.';
COMMENT ON COLUMN one_minute_candle.low IS 'Lowest price of the minute.';
COMMENT ON COLUMN one_minute_candle.close IS 'Price of the last tick of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the minute.';
COMMENT ON COLUMN one_minute_candle.volume IS 'Sum of the trade sizes of the minute; empty where the provider sends no sizes.';
COMMENT ON COLUMN one_minute_candle.tick_count IS 'Number of ticks in the minute.';
COMMENT ON COLUMN one_minute_candle.first_time IS 'Event time of the first tick.';
COMMENT ON COLUMN one_minute_candle.last_time IS 'Event time of the last tick.';
COMMENT ON COLUMN one_minute_candle.day_volume_low IS 'Lowest day_volume of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume_high IS 'Highest day_volume of the minute.';
