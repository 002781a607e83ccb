-- The volume of each minute: the sum of the trade sizes where the feed sends them. Where it sends only the volume of the day so far,
-- the growth of that since the previous candle (last minus first within a minute would miss what was traded between two ticks of
-- different minutes). Empty where it sends neither, or no trade of the minute counts.
-- A session begins where the volume of the day falls below half of its previous value. The clock cannot tell, since neither the UTC
-- day nor any one time zone is the session of every symbol. Smaller falls are corrections: the volume is zero until the previous
-- height is passed, so it is never negative, and the minutes of a session add up to the volume of its day.
CREATE OR REPLACE VIEW one_minute_candle_volume AS
SELECT
    bucket,
    symbol,
    coalesce(
        volume,
        greatest(
            day_volume_high - coalesce(
                max(day_volume_high) OVER (
                    PARTITION BY symbol, session ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            ),
            0
        )::double precision * CASE WHEN day_volume_high IS NOT NULL THEN 1 END
    ) AS volume,
    volume IS NULL AND day_volume_high IS NOT NULL AS derived
FROM (
    SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (PARTITION BY symbol ORDER BY bucket) AS session
    FROM (
        SELECT bucket, symbol, volume, day_volume_high,
            -- Candles without a volume of the day are a partition of their own, so the previous candle is one that has it.
            lag(day_volume_high) OVER (PARTITION BY symbol, day_volume_high IS NULL ORDER BY bucket) AS previous
        FROM one_minute_candle
    ) AS candles
) AS sessions;

COMMENT ON VIEW one_minute_candle_volume IS 'Volume of each minute, from trade sizes or else from the volume of the day.';
COMMENT ON COLUMN one_minute_candle_volume.bucket IS 'Begin of the minute, UTC.';
COMMENT ON COLUMN one_minute_candle_volume.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN one_minute_candle_volume.volume IS 'Volume of the minute; empty if no trade counts, or the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN one_minute_candle_volume.derived IS 'Whether the volume is derived from the volume of the day.';
