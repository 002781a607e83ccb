-- For each symbol and UTC day with such a time: when it was not received, and that was not repaired with ticks. Of feeds whose ticks make candles.
CREATE OR REPLACE VIEW ticks_platform.missing_by_day AS
SELECT symbol, day, range_agg(tstzrange(begins_at, coalesce(ends_at, 'infinity'))) AS missing
FROM ticks_platform.feed_gap
JOIN ticks_platform.feed USING (feed)
CROSS JOIN LATERAL generate_series(
    -- Not steps of '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
    time_bucket(INTERVAL '1 day', begins_at), coalesce(ends_at, now()), INTERVAL '24 hours'
) AS day
-- A gap that bars closed lacks its ticks.
WHERE candles AND (state <> 'repaired' OR detail LIKE '% minute bars %')
GROUP BY symbol, day;

COMMENT ON VIEW ticks_platform.missing_by_day IS 'When a symbol was not received, by UTC day, and that was not repaired with ticks.';
COMMENT ON COLUMN ticks_platform.missing_by_day.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN ticks_platform.missing_by_day.day IS 'Begin of a UTC day.';
COMMENT ON COLUMN ticks_platform.missing_by_day.missing IS 'Gaps that reach into the day.';
