-- As find_gone.sql, of a table in which a later row replaces an earlier one, with another time: of all time, at the feed's newest hour.
SELECT feed, hour, (loaded - gone - coalesce(stored.number, 0))::bigint, NULL::numeric
FROM (
    SELECT feed, max(hour) AS hour, sum(loaded) AS loaded, sum(gone) AS gone
    FROM ticks_platform.feed_hour
    WHERE destination = {destination} AND feed <> 'manual' AND isfinite(hour)
    GROUP BY feed
) AS counted
LEFT JOIN (SELECT feed, count(*) AS number FROM {table} GROUP BY feed) AS stored USING (feed)
WHERE hour >= %(begins_at)s AND hour < %(ends_at)s
    AND loaded - gone <> coalesce(stored.number, 0) AND loaded >= coalesce(stored.number, 0)
ORDER BY hour, feed;
