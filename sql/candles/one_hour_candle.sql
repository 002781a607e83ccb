-- Candles of one hour, from the candles of one minute. Buckets are UTC.
-- Minutes without prices give none to their hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_hour_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    symbol,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
    last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
    sum(volume) AS volume,
    sum(tick_count)::bigint AS tick_count,
    sum(price_count)::bigint AS price_count
FROM one_minute_candle
GROUP BY time_bucket(INTERVAL '1 hour', bucket), symbol
WITH NO DATA;

COMMENT ON COLUMN one_hour_candle.bucket IS 'Begin of the hour, UTC.';
COMMENT ON COLUMN one_hour_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_hour_candle.open IS 'Price of the first tick of the hour that may set it; empty if none may.';
COMMENT ON COLUMN one_hour_candle.high IS 'Highest price of the hour; empty if open is.';
COMMENT ON COLUMN one_hour_candle.low IS 'Lowest price of the hour; empty if open is.';
COMMENT ON COLUMN one_hour_candle.close IS 'Price of the last tick of the hour that may set it; empty if open is.';
COMMENT ON COLUMN one_hour_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the hour that counts in it.';
COMMENT ON COLUMN one_hour_candle.volume IS 'Sum of the trade sizes that count; empty if none counts, or where the provider sends no sizes.';
COMMENT ON COLUMN one_hour_candle.tick_count IS 'Number of ticks in the hour, whatever they may change.';
COMMENT ON COLUMN one_hour_candle.price_count IS 'Number of ticks that formed prices of its minutes.';
