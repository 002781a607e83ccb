-- For each bucket of a symbol in a time: `candle` where there is one, else why there is none. A bucket is a multiple of minutes, UTC.
--   not_wanted     no feed streamed the symbol
--   not_over       it lies in the future, or has not ended
--   market_closed  no provider that streams it sends at that time: outside its hours, extended ones included
--   feed_gap       it was not received for a part of the bucket, and that has not been repaired
--   halted         trading was halted for a part of the bucket at least, as a provider told, and there was no trade
--   no_price       there were ticks, and none that may form a price: there is a candle of volume alone, or of nothing
--   no_trade       it was received for the whole bucket, and there was no trade
-- Feeds whose ticks make no candles, which are secondary, are not asked.
CREATE OR REPLACE FUNCTION ticks_platform.candle_reasons(
    of_symbol text, begins timestamptz, ends timestamptz, width interval DEFAULT '1 minute'
) RETURNS TABLE (bucket timestamptz, reason text)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    WITH asked AS MATERIALIZED (
        SELECT begin, begin + length AS until
        FROM (SELECT make_interval(secs => extract(epoch FROM width)::double precision) AS length) AS exact
        -- Not '1 day': that is 23 or 25 hours where the session's time zone changes its clocks.
        CROSS JOIN LATERAL generate_series(time_bucket(width, begins), ends - INTERVAL '1 microsecond', length) AS series (begin)
    ),
    candle AS MATERIALIZED (
        SELECT time_bucket(width, known.bucket) AS begin, bool_or(open IS NOT NULL) AS has_prices
        FROM one_minute_candle AS known
        WHERE known.symbol = of_symbol AND known.bucket >= time_bucket(width, begins) AND known.bucket < ends + width
        GROUP BY time_bucket(width, known.bucket)
    ),
    wanted AS MATERIALIZED (
        SELECT feed, wanted_from, coalesce(wanted_until, 'infinity') AS wanted_until, calendar
        FROM ticks_platform.feed_symbol AS known
        JOIN ticks_platform.feed USING (feed)
        WHERE feed.candles AND known.symbol = of_symbol AND wanted_from < ends + width AND coalesce(wanted_until, 'infinity') > begins - width
    ),
    -- No session is longer than a week.
    session AS MATERIALIZED (
        SELECT calendar, opens_at, closes_at
        FROM ticks_platform.market_session AS known
        WHERE calendar IN (SELECT calendar FROM wanted)
            AND opens_at > begins - width - INTERVAL '7 days' AND opens_at < ends + width AND closes_at > begins - width
        UNION ALL
        SELECT 'always', '-infinity', 'infinity'
    ),
    gap AS MATERIALIZED (
        SELECT once.feed, begins_at, coalesce(ends_at, 'infinity') AS ends_at
        FROM (SELECT DISTINCT feed FROM wanted) AS once
        CROSS JOIN LATERAL ticks_platform.gaps_within(once.feed, of_symbol, begins - width, ends + width) AS known
        WHERE state <> 'repaired'
        UNION ALL
        -- An owner that is presumed dead: the end of its coverage is not recorded yet.
        SELECT feed, heartbeat_at, 'infinity'
        FROM ticks_platform.feed_lease
        WHERE feed IN (SELECT feed FROM wanted) AND released_at IS NULL
            AND heartbeat_at < clock_timestamp() - INTERVAL '30 seconds'
    ),
    halted AS MATERIALIZED (
        SELECT begins_at, ends_at FROM ticks_platform.halted_times(of_symbol, time_bucket(width, begins), ends + width)
    ),
    judged AS (
        SELECT
            asked.begin,
            asked.until,
            count(wanted.feed) AS feeds,
            count(*) FILTER (WHERE is_open) AS open,
            count(*) FILTER (WHERE is_open AND NOT in_gap) AS listening
        FROM asked
        LEFT JOIN wanted ON wanted_from < until AND wanted_until > begin
        LEFT JOIN LATERAL (
            SELECT
                EXISTS (
                    SELECT FROM session
                    WHERE session.calendar = wanted.calendar
                        AND opens_at < least(until, wanted_until) AND closes_at > greatest(begin, wanted_from)
                ) AS is_open,
                EXISTS (
                    SELECT FROM gap WHERE gap.feed = wanted.feed AND begins_at < until AND ends_at > begin
                ) AS in_gap
        ) AS state ON wanted.feed IS NOT NULL
        GROUP BY asked.begin, asked.until
    )
    SELECT
        judged.begin,
        CASE
            WHEN has_prices THEN 'candle'
            WHEN until > clock_timestamp() THEN 'not_over'
            WHEN candle.begin IS NOT NULL AND (open = 0 OR listening > 0) THEN 'no_price'
            WHEN feeds = 0 THEN 'not_wanted'
            WHEN open = 0 THEN 'market_closed'
            WHEN listening = 0 THEN 'feed_gap'
            WHEN EXISTS (SELECT FROM halted WHERE begins_at < until AND ends_at > judged.begin) THEN 'halted'
            ELSE 'no_trade'
        END
    FROM judged
    LEFT JOIN candle ON candle.begin = judged.begin
    ORDER BY judged.begin
$$;

COMMENT ON FUNCTION ticks_platform.candle_reasons IS 'For each bucket of a symbol: candle, no_trade, no_price, halted, market_closed, feed_gap, not_wanted or not_over.';
