-- Candles of UTC days as if all splits had been executed already. Prices are multiplied by the factors of later splits, volumes divided by
-- them. adj_close is adjusted for later dividends as well.
-- An action applies from the night before its execution date on the symbol's exchange. A UTC day in which that night falls, as in winter the
-- last hour of New York's extended hours does, has prices before and after a split: it is made of its hours, each with its own factor.
CREATE OR REPLACE VIEW one_day_candle_adjusted AS
WITH factors AS NOT MATERIALIZED (
    SELECT symbol,
        array_agg(begins_at ORDER BY begins_at) FILTER (WHERE kind = 'split') AS split_at,
        array_agg(factor ORDER BY begins_at) FILTER (WHERE kind = 'split') AS split_factors,
        array_agg(begins_at ORDER BY begins_at) FILTER (WHERE kind = 'dividend') AS dividend_at,
        array_agg(factor ORDER BY begins_at) FILTER (WHERE kind = 'dividend') AS dividend_factors
    FROM ticks_platform.price_adjustment
    GROUP BY symbol
)
SELECT
    candle.bucket,
    candle.symbol,
    coalesce(hours.open, candle.open * at_end.split_factor) AS open,
    coalesce(hours.high, candle.high * at_end.split_factor) AS high,
    coalesce(hours.low, candle.low * at_end.split_factor) AS low,
    coalesce(hours.close, candle.close * at_end.split_factor) AS close,
    coalesce(hours.day_volume, candle.day_volume / at_end.split_factor) AS day_volume,
    coalesce(hours.volume, candle.volume / at_end.split_factor) AS volume,
    candle.tick_count,
    candle.price_count,
    coalesce(hours.close * hours.dividend_factor, candle.close * at_end.split_factor * at_end.dividend_factor) AS adj_close,
    coalesce(hours.split_factor, at_end.split_factor) AS split_factor,
    coalesce(hours.dividend_factor, at_end.dividend_factor) AS dividend_factor
FROM one_day_candle AS candle
LEFT JOIN factors ON factors.symbol = candle.symbol
CROSS JOIN LATERAL (
    -- width_bucket counts the actions up to a time; the next one has the factor.
    SELECT
        coalesce(split_factors[width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', split_at) + 1], 1) AS split_factor,
        coalesce(dividend_factors[width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', dividend_at) + 1], 1) AS dividend_factor,
        coalesce(
            width_bucket(candle.bucket, split_at) <> width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', split_at), false
        ) OR coalesce(
            width_bucket(candle.bucket, dividend_at) <> width_bucket(candle.bucket + INTERVAL '24 hours' - INTERVAL '1 us', dividend_at), false
        ) AS is_mixed
) AS at_end
CROSS JOIN LATERAL (
    SELECT
        first(open * split, bucket) FILTER (WHERE open IS NOT NULL) AS open,
        max(high * split) AS high,
        min(low * split) AS low,
        last(close * split, bucket) FILTER (WHERE close IS NOT NULL) AS close,
        last(day_volume / split, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
        sum(volume / split) AS volume,
        last(split, bucket) FILTER (WHERE close IS NOT NULL) AS split_factor,
        last(dividend, bucket) FILTER (WHERE close IS NOT NULL) AS dividend_factor
    FROM (
        SELECT one_hour_candle.*,
            coalesce(split_factors[width_bucket(one_hour_candle.bucket, split_at) + 1], 1) AS split,
            coalesce(dividend_factors[width_bucket(one_hour_candle.bucket, dividend_at) + 1], 1) AS dividend
        FROM one_hour_candle
        WHERE at_end.is_mixed AND one_hour_candle.symbol = candle.symbol
            AND one_hour_candle.bucket >= candle.bucket AND one_hour_candle.bucket < candle.bucket + INTERVAL '24 hours'
    ) AS hour
) AS hours;

COMMENT ON VIEW one_day_candle_adjusted IS 'Candles of UTC days, adjusted for splits; adj_close for splits and dividends.';
COMMENT ON COLUMN one_day_candle_adjusted.bucket IS 'Begin of the day, UTC.';
COMMENT ON COLUMN one_day_candle_adjusted.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_day_candle_adjusted.open IS 'Open of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.high IS 'Highest price of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.low IS 'Lowest price of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.close IS 'Close of the day, adjusted for splits.';
COMMENT ON COLUMN one_day_candle_adjusted.day_volume IS 'Volume of the trading day so far, in shares of today.';
COMMENT ON COLUMN one_day_candle_adjusted.volume IS 'Sum of the trade sizes that count, in shares of today.';
COMMENT ON COLUMN one_day_candle_adjusted.tick_count IS 'Number of ticks in the day, whatever they may change.';
COMMENT ON COLUMN one_day_candle_adjusted.price_count IS 'Number of ticks that formed prices of its minutes.';
COMMENT ON COLUMN one_day_candle_adjusted.adj_close IS 'Close of the day, adjusted for splits and dividends.';
COMMENT ON COLUMN one_day_candle_adjusted.split_factor IS 'What splits after it multiply prices by, and divide volumes by; 1 without any.';
COMMENT ON COLUMN one_day_candle_adjusted.dividend_factor IS 'What dividends after it multiply prices by; 1 without any.';
