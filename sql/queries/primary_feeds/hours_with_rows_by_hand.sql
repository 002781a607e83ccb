-- The symbols and hours of some time with rows by hand. A symbol has one primary feed: where another feed's ticks make the candles of
-- that hour, rows by hand are copies, except in its gaps, which they fill. While there was never such a row, nothing is read.
    SELECT
        symbol,
        hour,
        feeds,
        coalesce(
            (
                SELECT range_agg(tstzrange(begins_at, coalesce(ends_at, 'infinity')))
                FROM ticks_platform.feed_gap AS gap
                WHERE gap.feed = ANY (feeds) AND gap.symbol = found.symbol AND state <> 'repaired'
                    AND begins_at < hour + INTERVAL '1 hour' AND coalesce(ends_at, 'infinity') > hour
            ),
            '{{}}'
        ) AS gaps
    FROM (
        SELECT symbol, time_bucket(INTERVAL '1 hour', time) AS hour
        FROM stocks_real_time
        WHERE time >= %(begin)s AND time < %(end)s AND feed = 'manual' AND (SELECT is_called FROM ticks_platform.manual_tick)
        GROUP BY symbol, time_bucket(INTERVAL '1 hour', time)
    ) AS found
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT feed ORDER BY feed) AS feeds
        FROM stocks_real_time AS streamed
        WHERE streamed.symbol = found.symbol AND time >= hour AND time < hour + INTERVAL '1 hour'
            AND feed <> 'manual' AND (updates IS NULL OR updates & 16 = 0)
    ) AS other
