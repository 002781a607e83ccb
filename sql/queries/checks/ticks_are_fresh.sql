-- Seconds since the last tick of each feed arrived, as counted while it was loaded: no tick is read.
SELECT
    feed,
    enabled,
    max(last_received_at) AS last_received_at,
    extract(epoch FROM now() - max(last_received_at))::double precision AS age_seconds
FROM ticks_platform.feed
LEFT JOIN ticks_platform.feed_hour USING (feed)
WHERE feed = ANY (%(feeds)s)
GROUP BY feed, enabled
ORDER BY feed;
