-- Hours of a table whose number of rows is not what the account expects, in a time: feed, hour, and how many rows are gone (below zero: how
-- many that had been declared gone are there again; zero: none, but they are others than were loaded, by their fingerprint), and the
-- fingerprint of what is there. Rows by hand have no account.
SELECT feed, hour, (loaded - gone - coalesce(stored.number, 0))::bigint, CASE WHEN stored.number IS NULL THEN 0 ELSE stored.fingerprint END
FROM ticks_platform.feed_hour AS counted
LEFT JOIN (
    SELECT feed, time_bucket(INTERVAL '1 hour', {time}) AS hour, count(*) AS number, {fingerprint} AS fingerprint
    FROM {table}
    WHERE {time} >= %(begins_at)s AND {time} < %(ends_at)s
    GROUP BY 1, 2
) AS stored USING (feed, hour)
WHERE destination = {destination} AND feed <> 'manual' AND hour >= %(begins_at)s AND hour < %(ends_at)s
    AND isfinite(hour) AND loaded >= coalesce(stored.number, 0)
    AND (
        loaded - gone <> coalesce(stored.number, 0)
        OR (fingerprint_version = ticks_platform.fingerprint_version() AND counted.fingerprint <> stored.fingerprint)
    )
ORDER BY hour, feed;
