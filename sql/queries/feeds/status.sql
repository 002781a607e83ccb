-- How each of these feeds is, as far as the database knows: what is wanted, who ingests it, its last change of state, and its account,
-- counted since the feed exists. Ages and the lag are in seconds. The lag, from event time to arrival, is that of the newest tick of the
-- last 30 seconds. A feed that the database has never seen has no row. The live page asks it each second, so it reads little.
SELECT feed.feed, feed.provider, feed.synthetic, feed.enabled, feed.candles,
    lease.owner, lease.released_at IS NOT NULL AS released, lease.clock_trouble,
    extract(epoch FROM clock_timestamp() - lease.heartbeat_at)::float8 AS heartbeat_age,
    session.state, session.detail, session.at AS state_since,
    account.*, newest.lag
FROM ticks_platform.feed AS feed
LEFT JOIN ticks_platform.feed_lease AS lease ON lease.feed = feed.feed
LEFT JOIN LATERAL (
    SELECT state, detail, at FROM ticks_platform.feed_session WHERE feed_session.feed = feed.feed ORDER BY at DESC LIMIT 1
) AS session ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(sum(loaded), 0)::bigint AS loaded,
        coalesce(sum(replaced), 0)::bigint AS replaced, coalesce(sum(duplicate), 0)::bigint AS duplicate,
        coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(control), 0)::bigint AS control,
        -- Of the last day. Connection 0 is what repairs have fetched.
        count(*) FILTER (WHERE connection > 0 AND first_received_at > now() - INTERVAL '1 day') AS connections,
        max(last_received_at) AS last_received_at, max(last_data_at) AS last_data_at
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
WHERE feed.feed = ANY ({feeds})
