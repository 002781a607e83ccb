-- Candles of trading days, by the calendar of each symbol: from the minutes between the first opening and the last closing of the day.
-- The day is the UTC day for what never closes, and for symbols without a calendar.
-- It takes one index scan per symbol and day: a query should name its symbols, its days, or both.
-- The volume is the sum of the trade sizes; else the growth of the volume of the day, as in one_minute_candle_volume. Its value before
-- the opening is looked up where the same day may have begun to be counted: after the previous closing, or within a day where there
-- is no pause between two days.
CREATE OR REPLACE VIEW session_day_candle AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
day AS NOT MATERIALIZED (
    SELECT symbol, calendar, session, min(opens_at) AS opens_at, max(closes_at) AS closes_at
    FROM known
    JOIN ticks_platform.market_session USING (calendar)
    WHERE opens_at <= now()
    GROUP BY symbol, calendar, session
    UNION ALL
    SELECT symbol, 'always', (bucket AT TIME ZONE 'UTC')::date, bucket, bucket + INTERVAL '1 day'
    FROM one_day_candle
    LEFT JOIN known USING (symbol)
    WHERE coalesce(calendar, 'always') = 'always'
)
SELECT
    day.session,
    day.symbol,
    candle.open,
    candle.high,
    candle.low,
    candle.close,
    candle.day_volume,
    candle.volume,
    candle.tick_count,
    day.calendar,
    day.opens_at,
    day.closes_at
FROM day
CROSS JOIN LATERAL (
    SELECT CASE WHEN max(closes_at) < day.opens_at THEN max(closes_at) ELSE day.opens_at - INTERVAL '1 day' END AS since
    FROM (
        SELECT closes_at
        FROM ticks_platform.market_session
        WHERE market_session.calendar = day.calendar AND market_session.opens_at < day.opens_at
        ORDER BY market_session.opens_at DESC
        LIMIT 1
    ) AS closing
) AS before
CROSS JOIN LATERAL (
    SELECT
        first(open, bucket) AS open,
        max(high) AS high,
        min(low) AS low,
        last(close, bucket) AS close,
        last(day_volume, bucket) AS day_volume,
        sum(coalesce(volume, CASE WHEN day_volume_high > highest THEN day_volume_high - highest WHEN day_volume_high IS NOT NULL THEN 0 END)) AS volume,
        sum(tick_count)::bigint AS tick_count
    FROM (
        SELECT *,
            coalesce(max(day_volume_high) OVER (
                PARTITION BY counting ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0) AS highest
        FROM (
            SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (ORDER BY bucket) AS counting
            FROM (
                SELECT *, lag(day_volume_high) OVER (PARTITION BY day_volume_high IS NULL ORDER BY bucket) AS previous
                FROM one_minute_candle
                WHERE one_minute_candle.symbol = day.symbol AND bucket >= before.since AND bucket < day.closes_at
            ) AS minutes
        ) AS counted
    ) AS grown
    WHERE bucket >= day.opens_at
) AS candle
WHERE candle.tick_count > 0;

COMMENT ON VIEW session_day_candle IS 'Candles of trading days, by the calendar of each symbol''s exchange.';
COMMENT ON COLUMN session_day_candle.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle.open IS 'Price of the first tick in session.';
COMMENT ON COLUMN session_day_candle.high IS 'Highest price in session.';
COMMENT ON COLUMN session_day_candle.low IS 'Lowest price in session.';
COMMENT ON COLUMN session_day_candle.close IS 'Price of the last tick in session; a closing auction that is printed after the close is not included.';
COMMENT ON COLUMN session_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick in session.';
COMMENT ON COLUMN session_day_candle.volume IS 'Volume in session; empty where the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN session_day_candle.tick_count IS 'Number of ticks in session.';
COMMENT ON COLUMN session_day_candle.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle.opens_at IS 'When the day opened.';
COMMENT ON COLUMN session_day_candle.closes_at IS 'When it closes, or closed.';
