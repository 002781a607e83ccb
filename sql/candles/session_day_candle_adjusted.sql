-- Candles of trading days as if all splits had been executed already. Prices are multiplied by the factors of later splits, volumes divided
-- by them. adj_close is adjusted for later dividends as well. The execution date is the first trading day without its action's factor,
-- pre-market included.
CREATE OR REPLACE VIEW session_day_candle_adjusted AS
WITH factors AS NOT MATERIALIZED (
    SELECT symbol,
        array_agg(execution_date ORDER BY execution_date) FILTER (WHERE kind = 'split') AS split_on,
        array_agg(factor ORDER BY execution_date) FILTER (WHERE kind = 'split') AS split_factors,
        array_agg(execution_date ORDER BY execution_date) FILTER (WHERE kind = 'dividend') AS dividend_on,
        array_agg(factor ORDER BY execution_date) FILTER (WHERE kind = 'dividend') AS dividend_factors
    FROM ticks_platform.price_adjustment
    GROUP BY symbol
)
SELECT
    candle.session,
    candle.symbol,
    candle.open * split_factor AS open,
    candle.high * split_factor AS high,
    candle.low * split_factor AS low,
    candle.close * split_factor AS close,
    candle.day_volume / split_factor AS day_volume,
    candle.volume / split_factor AS volume,
    candle.tick_count,
    candle.calendar,
    candle.opens_at,
    candle.closes_at,
    candle.close * split_factor * dividend_factor AS adj_close,
    split_factor,
    dividend_factor
FROM session_day_candle AS candle
LEFT JOIN factors ON factors.symbol = candle.symbol
CROSS JOIN LATERAL (
    -- width_bucket counts the actions up to a day; the next one has the factor.
    SELECT
        coalesce(split_factors[width_bucket(candle.session, split_on) + 1], 1) AS split_factor,
        coalesce(dividend_factors[width_bucket(candle.session, dividend_on) + 1], 1) AS dividend_factor
) AS later;

COMMENT ON VIEW session_day_candle_adjusted IS 'Candles of trading days, adjusted for splits; adj_close for splits and dividends.';
COMMENT ON COLUMN session_day_candle_adjusted.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle_adjusted.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle_adjusted.open IS 'Open of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.high IS 'Highest price of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.low IS 'Lowest price of regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.close IS 'Official close, or the last price in regular hours, adjusted for splits.';
COMMENT ON COLUMN session_day_candle_adjusted.day_volume IS 'Volume of the trading day so far, in shares of today.';
COMMENT ON COLUMN session_day_candle_adjusted.volume IS 'Volume of the whole day, in shares of today.';
COMMENT ON COLUMN session_day_candle_adjusted.tick_count IS 'Number of ticks of the whole day, whatever they may change.';
COMMENT ON COLUMN session_day_candle_adjusted.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle_adjusted.opens_at IS 'When regular hours begin.';
COMMENT ON COLUMN session_day_candle_adjusted.closes_at IS 'When they end, or ended.';
COMMENT ON COLUMN session_day_candle_adjusted.adj_close IS 'Close, adjusted for splits and dividends.';
COMMENT ON COLUMN session_day_candle_adjusted.split_factor IS 'What splits after it multiply prices by, and divide volumes by; 1 without any.';
COMMENT ON COLUMN session_day_candle_adjusted.dividend_factor IS 'What dividends after it multiply prices by; 1 without any.';
