-- Candles of one day, from the candles of one hour. Days are UTC; for an exchange's own trading days see session_day_candle.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_day_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 day', bucket) AS bucket,
    symbol,
    first(open, bucket) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) AS close,
    last(day_volume, bucket) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count
FROM one_hour_candle
GROUP BY time_bucket(INTERVAL '1 day', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_day_candle.bucket IS 'Begin of the day, UTC.';
COMMENT ON COLUMN one_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_day_candle.open IS 'Price of the first tick of the day.';
COMMENT ON COLUMN one_day_candle.high IS 'Highest price of the day.';
COMMENT ON COLUMN one_day_candle.low IS 'Lowest price of the day.';
COMMENT ON COLUMN one_day_candle.close IS 'Price of the last tick of the day.';
COMMENT ON COLUMN one_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the UTC day.';
COMMENT ON COLUMN one_day_candle.volume IS 'Sum of the trade sizes of the day; empty where the provider sends no sizes.';
COMMENT ON COLUMN one_day_candle.tick_count IS 'Number of ticks in the day.';
