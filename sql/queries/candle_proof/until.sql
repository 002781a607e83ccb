-- Until when the candles of a minute are proven: from the first time that is, without a gap in which ticks were counted; NULL if none is.
WITH unproven AS (
    SELECT min(hour) AS hour
    FROM (
        SELECT hour FROM ticks_platform.feed_hour
        WHERE destination = 'stocks_real_time' AND isfinite(hour) AND hour < now() - INTERVAL '1 hour'
        GROUP BY hour
        HAVING sum(loaded - gone) > 0
    ) AS counted
    LEFT JOIN (
        SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, sum(ends_at - begins_at) AS length
        FROM ticks_platform.proven_candles
        GROUP BY 1
    ) AS known USING (hour)
    WHERE coalesce(length, INTERVAL '0') < INTERVAL '1 hour'
)
SELECT max(ends_at) FROM ticks_platform.proven_candles, unproven WHERE unproven.hour IS NULL OR begins_at < unproven.hour;
