-- Hours, or days, of which all candles of a minute are proven, and that were not compared with them as they are now: the newest first, with
-- the account of all feeds.
WITH account AS MATERIALIZED (
    SELECT time_bucket(%(width)s, hour) AS bucket, sum(loaded) AS loaded, sum(fingerprint) AS fingerprint, bool_and(loaded > gone) AS is_there,
        count(*) = count(fingerprint) AS is_known, count(*) FILTER (WHERE feed IN (SELECT feed FROM ticks_platform.feed WHERE candles)) AS hours
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
    GROUP BY time_bucket(%(width)s, hour)
),
proven AS (
    SELECT time_bucket(%(width)s, begins_at) AS bucket, sum(ends_at - begins_at) AS length
    FROM ticks_platform.proven_times
    GROUP BY time_bucket(%(width)s, begins_at)
)
SELECT bucket, account.loaded, account.fingerprint
FROM account
JOIN proven USING (bucket)
LEFT JOIN (SELECT * FROM ticks_platform.level_proof WHERE candle = %(candle)s) AS proof USING (bucket)
WHERE is_there AND is_known AND bucket + %(width)s <= now() AND length = hours * INTERVAL '1 hour'
    AND (proof.loaded, proof.fingerprint) IS DISTINCT FROM (account.loaded, account.fingerprint)
ORDER BY bucket DESC
LIMIT %(limit)s;
