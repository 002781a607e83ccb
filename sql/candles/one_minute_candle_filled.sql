-- The candles of one minute, with the provider's bars in the minutes of a gap, unless the gap was repaired with ticks. `source` tells
-- which is which; a bar is never stored as a candle. Bars of feeds whose ticks make no candles fill nothing.
CREATE OR REPLACE VIEW one_minute_candle_filled AS
WITH bar AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol, start_time) *
    FROM stock_aggregates AS bars
    WHERE end_time = start_time + INTERVAL '1 minute'
        AND feed NOT IN (SELECT feed.feed FROM ticks_platform.feed WHERE NOT candles)
        AND EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = bars.feed AND gap.symbol = bars.symbol
                AND gap.begins_at < bars.start_time + INTERVAL '1 minute'
                AND coalesce(gap.ends_at, 'infinity') > bars.start_time
                AND gap.state <> 'ignored'
                AND NOT (gap.state = 'repaired' AND EXISTS (
                    SELECT FROM ticks_platform.feed_repair AS repair
                    WHERE repair.feed = gap.feed AND repair.symbol = gap.symbol AND repair.kind = 'trades'
                        AND repair.state IN ('loaded', 'done')
                        AND repair.begins_at < gap.ends_at AND repair.ends_at > gap.begins_at))
        )
    ORDER BY symbol, start_time, received_at DESC
)
SELECT bucket, symbol, open, high, low, close, volume, tick_count, 'ticks' AS source
FROM one_minute_candle AS candle
WHERE NOT EXISTS (SELECT FROM bar WHERE bar.symbol = candle.symbol AND bar.start_time = candle.bucket)
UNION ALL
SELECT start_time, symbol, open_price, high_price, low_price, close_price, volume, NULL, 'bars'
FROM bar;

COMMENT ON VIEW one_minute_candle_filled IS 'Candles of one minute, with the provider''s bars where a gap in the ticks is.';
COMMENT ON COLUMN one_minute_candle_filled.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle_filled.volume IS 'Sum of the trade sizes, or the bar''s volume; empty where the provider sends neither.';
COMMENT ON COLUMN one_minute_candle_filled.tick_count IS 'Number of ticks; empty for a bar.';
COMMENT ON COLUMN one_minute_candle_filled.source IS 'ticks: our candle, of all ticks. bars: the provider''s bar, where ticks are missing.';
