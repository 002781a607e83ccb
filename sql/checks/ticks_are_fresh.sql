-- Seconds since the last tick of each feed arrived, per feed that is wanted. The two days bound the chunks that are read.
SELECT
    feed.feed,
    feed.enabled,
    last_tick.received_at AS last_received_at,
    extract(epoch FROM now() - last_tick.received_at)::double precision AS age_seconds
FROM ticks_platform.feed
LEFT JOIN LATERAL (
    SELECT received_at
    FROM stocks_real_time
    WHERE stocks_real_time.feed = feed.feed AND time > now() - INTERVAL '2 days'
    ORDER BY time DESC
    LIMIT 1
) AS last_tick ON true
WHERE feed.feed = ANY (%(feeds)s)
ORDER BY feed.feed;
