-- How these feeds are: times are in seconds, counts since the feed exists, connections of the last day. The lag, from event time to
-- arrival, is that of the newest tick of the last 30 seconds.
SELECT feed.feed, feed.enabled, extract(epoch FROM clock_timestamp() - lease.heartbeat_at)::float8 AS heartbeat_age,
    lease.released_at IS NOT NULL AS released, session.state, session.detail, account.loaded, account.rejected, account.connections,
    newest.lag
FROM ticks_platform.feed AS feed
LEFT JOIN ticks_platform.feed_lease AS lease ON lease.feed = feed.feed
LEFT JOIN LATERAL (
    SELECT state, detail FROM ticks_platform.feed_session WHERE feed_session.feed = feed.feed ORDER BY at DESC LIMIT 1
) AS session ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(loaded), 0)::bigint AS loaded, coalesce(sum(rejected), 0)::bigint AS rejected,
        -- Connection 0 is what repairs have fetched.
        count(*) FILTER (WHERE connection > 0 AND first_received_at > now() - INTERVAL '1 day') AS connections,
        max(last_data_at) AS last_data_at
    FROM ticks_platform.feed_ledger AS ledger WHERE ledger.feed = feed.feed
) AS account ON true
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM received_at - time)::float8 AS lag
    FROM stocks_real_time AS tick
    WHERE tick.feed = feed.feed AND time > now() - INTERVAL '30 seconds'
        -- A feed without data would have the ticks of all others looked at.
        AND account.last_data_at > now() - INTERVAL '30 seconds'
    ORDER BY time DESC LIMIT 1
) AS newest ON true
WHERE feed.feed = ANY (%(feeds)s)
ORDER BY array_position(%(feeds)s::text[], feed.feed)
