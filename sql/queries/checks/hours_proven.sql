-- How much of the ticks is proven to be as it was loaded. One row: hours of feeds that are over and not gone, those that are proven as they
-- are now, until when all are, and when the one was proven whose proof is the oldest.
WITH judged AS MATERIALIZED (
    SELECT
        hour,
        proven_at,
        coalesce(proven.rows = loaded - gone AND proven.fingerprint = counted.fingerprint, false) AS is_proven
    FROM ticks_platform.feed_hour AS counted
    LEFT JOIN ticks_platform.proven_hour AS proven USING (feed, hour)
    WHERE destination = 'stocks_real_time' AND feed <> 'manual' AND isfinite(hour) AND loaded > gone
        AND hour < now() - INTERVAL '1 hour'
)
SELECT
    count(*),
    count(*) FILTER (WHERE is_proven),
    (
        SELECT max(hour) + INTERVAL '1 hour' FROM judged AS over
        WHERE hour < coalesce((SELECT min(hour) FROM judged WHERE NOT is_proven), 'infinity')
    ),
    min(proven_at) FILTER (WHERE is_proven)
FROM judged;
