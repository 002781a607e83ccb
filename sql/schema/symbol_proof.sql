-- What is to be known of a symbol to say whether a candle of it is proven: by which feeds, when it was received or repaired, when it was not,
-- what is not proven, what is wrong, and what is final. A time in which its market was closed was received.
CREATE OR REPLACE VIEW ticks_platform.symbol_proof AS
WITH wanted AS NOT MATERIALIZED (
    SELECT known.symbol, feed, wanted_until, coalesce(closed.since, wanted_from) AS wanted_from
    FROM ticks_platform.feed_symbol AS known
    JOIN ticks_platform.feed USING (feed)
    -- What was asked for while the market was closed is whole from its last closing on.
    LEFT JOIN LATERAL (
        SELECT max(closes_at) AS since
        FROM ticks_platform.market_session AS session
        WHERE session.calendar = known.calendar AND opens_at <= wanted_from AND opens_at > wanted_from - INTERVAL '14 days'
        HAVING max(closes_at) <= wanted_from
    ) AS closed ON true
    WHERE feed.candles
),
time AS NOT MATERIALIZED (
    SELECT symbol, feed, tstzrange(wanted_from, coalesce(wanted_until, 'infinity')) AS span, 'wanted' AS kind FROM wanted
    UNION ALL
    SELECT symbol, feed, tstzrange(begins_at, ends_at), 'fetched'
    FROM ticks_platform.feed_repair
    JOIN ticks_platform.feed USING (feed)
    WHERE candles AND kind IN ('trades', 'true_up_trades') AND state IN ('loaded', 'done')
    UNION ALL
    SELECT symbol, feed, tstzrange(begins_at, ends_at), CASE WHEN state = 'repaired' THEN 'repaired' ELSE 'gap' END
    FROM ticks_platform.feed_gap
    JOIN ticks_platform.feed USING (feed)
    WHERE candles
),
received AS NOT MATERIALIZED (
    SELECT
        symbol,
        array_agg(DISTINCT feed ORDER BY feed) AS feeds,
        coalesce(range_agg(span) FILTER (WHERE kind IN ('wanted', 'fetched')), '{}') AS received,
        coalesce(range_agg(span) FILTER (WHERE kind = 'gap'), '{}')
            -- Where bars alone were fetched, trades are missing.
            + (coalesce(range_agg(span) FILTER (WHERE kind = 'repaired'), '{}') - coalesce(range_agg(span) FILTER (WHERE kind = 'fetched'), '{}'))
            AS missing
    FROM time
    GROUP BY symbol
),
proven AS MATERIALIZED (SELECT feed, range_agg(tstzrange(begins_at, ends_at)) AS spans FROM ticks_platform.proven_times GROUP BY feed),
counted AS MATERIALIZED (
    SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
    GROUP BY feed
),
wrong AS MATERIALIZED (
    SELECT feed, range_agg(tstzrange(hour, hour + INTERVAL '1 hour')) AS hours FROM ticks_platform.wrong_hour GROUP BY feed
),
by_feeds AS MATERIALIZED (
    SELECT
        feeds,
        coalesce(range_agg(counted.hours - coalesce(proven.spans, '{}')), '{}') AS unproven,
        coalesce(range_agg(wrong.hours), '{}') AS wrong,
        bool_or(trues_up IS NOT false) AS trues_up,
        bool_and(is_settled) AS is_settled
    FROM (SELECT DISTINCT feeds FROM received) AS sets
    CROSS JOIN LATERAL unnest(feeds) AS one (feed)
    JOIN ticks_platform.feed USING (feed)
    LEFT JOIN counted USING (feed)
    LEFT JOIN proven USING (feed)
    LEFT JOIN wrong USING (feed)
    LEFT JOIN ticks_platform.loaded_until USING (feed)
    GROUP BY feeds
),
-- Days whose true-up is done, with the time between two of them in which the market was closed; less the minutes that still differ.
trued_up AS NOT MATERIALIZED (
    SELECT symbol, range_agg(spans) AS trued_up
    FROM (
        SELECT
            symbol,
            CASE WHEN still_differing > 0
                THEN tstzmultirange(tstzrange(begins_at, ends_at))
                    - coalesce((SELECT range_agg(tstzrange(minute, minute + INTERVAL '1 minute')) FROM unnest(differed) AS minute), '{}')
                ELSE tstzmultirange(tstzrange(CASE WHEN last_end < begins_at AND NOT EXISTS (
                    SELECT
                    FROM ticks_platform.symbol_calendar AS calendar
                    JOIN ticks_platform.market_session AS session USING (calendar)
                    WHERE calendar.symbol = day.symbol AND calendar.feed = day.feed AND opens_at >= last_end AND opens_at < begins_at
                ) THEN last_end ELSE begins_at END, ends_at))
            END AS spans
        FROM (
            SELECT *, lag(ends_at) OVER (PARTITION BY feed, symbol ORDER BY begins_at) AS last_end
            FROM ticks_platform.feed_true_up
            WHERE state = 'done'
        ) AS day
    ) AS days
    GROUP BY symbol
)
SELECT symbol, feeds, received, missing, unproven, wrong, coalesce(trued_up, '{}') AS trued_up, trues_up, coalesce(is_settled, false) AS is_settled
FROM received
JOIN by_feeds USING (feeds)
LEFT JOIN trued_up USING (symbol);

COMMENT ON VIEW ticks_platform.symbol_proof IS 'When a symbol was received, and what of its candles is proven, wrong or final.';
