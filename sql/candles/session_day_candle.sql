-- Candles of trading days, by the calendar of each symbol. Prices are those of regular hours: of the minutes between the first opening
-- and the last closing of the day. The volume is that of the whole day, extended hours included.
-- The close is the official close if there is one. The closing auction is printed seconds after the closing, in a minute that it
-- shares with extended hours, and the listing exchange's official close repeats its price: so high and low contain that, too.
-- Official prices of feeds whose ticks make no candles are not used.
-- A day without prices in regular hours has none, unless it has an official close, which is its only price then.
-- The day is the UTC day for what never closes, and for symbols without a calendar: 24 hours, and not '1 day', which has 23 or 25 where
-- the session's time zone changes its clocks.
-- It takes one index scan per symbol and day: a query should name its symbols, its days, or both.
-- The volume is the sum of the trade sizes; else the growth of the volume of the day, as in one_minute_candle_volume. Its value before
-- the day is looked up where the same count may have begun: after the previous closing, or within a day where there is no pause
-- between two days.
CREATE OR REPLACE VIEW session_day_candle AS
WITH known AS NOT MATERIALIZED (
    SELECT DISTINCT ON (symbol) symbol, calendar
    FROM ticks_platform.symbol_calendar
    ORDER BY symbol, calendar = 'always', feed
),
day AS NOT MATERIALIZED (
    SELECT symbol, calendar, session, min(opens_at) AS opens_at, max(closes_at) AS closes_at,
        min(coalesce(day_begins_at, opens_at)) AS begins_at, max(coalesce(day_ends_at, closes_at)) AS ends_at
    FROM known
    JOIN ticks_platform.market_session USING (calendar)
    WHERE coalesce(day_begins_at, opens_at) <= now()
    GROUP BY symbol, calendar, session
    UNION ALL
    SELECT symbol, 'always', (bucket AT TIME ZONE 'UTC')::date, bucket, bucket + INTERVAL '24 hours', bucket, bucket + INTERVAL '24 hours'
    FROM one_day_candle
    LEFT JOIN known USING (symbol)
    WHERE coalesce(calendar, 'always') = 'always'
)
SELECT
    day.session,
    day.symbol,
    coalesce(candle.open, official.close) AS open,
    greatest(candle.high, official.close, official.high) AS high,
    least(candle.low, official.close, official.low) AS low,
    coalesce(official.close, candle.close) AS close,
    candle.day_volume,
    candle.volume,
    candle.tick_count,
    day.calendar,
    day.opens_at,
    day.closes_at
FROM day
CROSS JOIN LATERAL (
    SELECT CASE WHEN max(closes_at) < day.begins_at THEN max(closes_at) ELSE day.begins_at - INTERVAL '24 hours' END AS since
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
        first(open, bucket) FILTER (WHERE open IS NOT NULL AND bucket >= day.opens_at AND bucket < day.closes_at) AS open,
        max(high) FILTER (WHERE bucket >= day.opens_at AND bucket < day.closes_at) AS high,
        min(low) FILTER (WHERE bucket >= day.opens_at AND bucket < day.closes_at) AS low,
        last(close, bucket) FILTER (WHERE close IS NOT NULL AND bucket >= day.opens_at AND bucket < day.closes_at) AS close,
        last(day_volume, bucket) FILTER (WHERE day_volume IS NOT NULL) AS day_volume,
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
                WHERE one_minute_candle.symbol = day.symbol AND bucket >= before.since AND bucket < day.ends_at
            ) AS minutes
        ) AS counted
    ) AS grown
    WHERE bucket >= day.begins_at
) AS candle
CROSS JOIN LATERAL (
    SELECT
        (array_agg(price ORDER BY kind = 'corrected_close' DESC, is_primary DESC, size DESC NULLS LAST, time DESC))[1] AS close,
        max(price) FILTER (WHERE is_primary) AS high,
        min(price) FILTER (WHERE is_primary) AS low
    FROM official_price
    WHERE official_price.symbol = day.symbol AND official_price.session = day.session AND kind <> 'open' AND day.calendar <> 'always'
        AND feed NOT IN (SELECT feed.feed FROM ticks_platform.feed WHERE NOT candles)
) AS official
WHERE candle.tick_count > 0;

COMMENT ON VIEW session_day_candle IS 'Candles of trading days, by the calendar of each symbol''s exchange.';
COMMENT ON COLUMN session_day_candle.session IS 'The trading day, as the exchange dates it; the UTC day for what never closes.';
COMMENT ON COLUMN session_day_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN session_day_candle.open IS 'First price in regular hours; empty if there is none.';
COMMENT ON COLUMN session_day_candle.high IS 'Highest price in regular hours, the official close included; empty if open is.';
COMMENT ON COLUMN session_day_candle.low IS 'Lowest price in regular hours, the official close included; empty if open is.';
COMMENT ON COLUMN session_day_candle.close IS 'Official close, or the last price in regular hours where there is none; empty if open is.';
COMMENT ON COLUMN session_day_candle.day_volume IS 'Volume of the trading day so far, at the last tick of the day that counts in it.';
COMMENT ON COLUMN session_day_candle.volume IS 'Volume of the whole day, extended hours included; empty where the provider sends neither sizes nor the volume of the day.';
COMMENT ON COLUMN session_day_candle.tick_count IS 'Number of ticks of the whole day, whatever they may change.';
COMMENT ON COLUMN session_day_candle.calendar IS 'The exchange''s MIC, 24/5, or always.';
COMMENT ON COLUMN session_day_candle.opens_at IS 'When regular hours begin.';
COMMENT ON COLUMN session_day_candle.closes_at IS 'When they end, or ended.';
