-- Candles of one minute, from the ticks. Buckets are UTC.
-- Open and close are ordered by tick_order: many ticks share a time stamp, and first(price, time) would pick any of them.
-- Each value is made of the ticks that may change it, by the bits of stocks_real_time.updates; the masks ask for one bit, and for 8
-- (cancelled) and 16 (secondary) to be clear. Most ticks have NULL, which IS NULL finds a fifth faster than coalesce().
-- A row by hand may have no price, as in the tutorial: it changes day_volume and tick_count alone.
-- A minute has four prices, or none if no tick of it may open or close; aggregates that are written alike are computed once.
-- Trades have no day_volume, and first() and last() are the dearest aggregates: so last() is not given such ticks.
-- The last four columns let checks work without reading the ticks.
CREATE MATERIALIZED VIEW IF NOT EXISTS one_minute_candle
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    time_bucket(INTERVAL '1 minute', time) AS bucket,
    symbol,
    first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS open,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN max(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS high,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN min(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) END AS low,
    last(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) AS close,
    last(day_volume, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates & 28 = 4)) AS day_volume,
    sum(size) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS volume,
    count(*) AS tick_count,
    CASE WHEN first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates & 25 = 1)) IS NOT NULL
        THEN count(price) FILTER (WHERE updates IS NULL OR updates & 26 = 2) ELSE 0 END AS price_count,
    min(time) AS first_time,
    max(time) AS last_time,
    min(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_low,
    max(day_volume) FILTER (WHERE updates IS NULL OR updates & 28 = 4) AS day_volume_high
FROM stocks_real_time
GROUP BY time_bucket(INTERVAL '1 minute', time), symbol
WITH NO DATA;

COMMENT ON COLUMN one_minute_candle.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle.open IS 'Price of the first tick of the minute that may set it; empty if none may.';
COMMENT ON COLUMN one_minute_candle.high IS 'Highest price of the minute, of the ticks that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.low IS 'Lowest price of the minute, of the ticks that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.close IS 'Price of the last tick of the minute that may set it; empty if open is.';
COMMENT ON COLUMN one_minute_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the minute that has it and counts in it.';
COMMENT ON COLUMN one_minute_candle.volume IS 'Sum of the trade sizes that count; empty if none counts, or where the provider sends no sizes.';
COMMENT ON COLUMN one_minute_candle.tick_count IS 'Number of ticks in the minute, whatever they may change.';
COMMENT ON COLUMN one_minute_candle.price_count IS 'Number of ticks that formed prices: those that may set high and low, or 0 without prices.';
COMMENT ON COLUMN one_minute_candle.first_time IS 'Event time of the first tick.';
COMMENT ON COLUMN one_minute_candle.last_time IS 'Event time of the last tick.';
COMMENT ON COLUMN one_minute_candle.day_volume_low IS 'Lowest day_volume of the minute.';
COMMENT ON COLUMN one_minute_candle.day_volume_high IS 'Highest day_volume of the minute.';
