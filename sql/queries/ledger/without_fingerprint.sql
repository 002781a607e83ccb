-- Hours that are over and have no fingerprint, the newest first: feed and hour, as many as have some number of rows.
SELECT feed, hour
FROM (
    SELECT feed, hour, sum(loaded - gone) OVER (ORDER BY hour DESC, feed) - (loaded - gone) AS rows_before
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND feed <> 'manual' AND isfinite(hour) AND hour < now() - INTERVAL '1 hour'
        AND loaded > gone AND fingerprint IS NULL AND ticks_platform.fingerprint_version() IS NOT NULL
) AS unknown
WHERE rows_before < %(budget)s
ORDER BY hour DESC, feed;
