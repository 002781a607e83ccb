-- Part of the live page's statement: how these feeds are. Ages are in seconds. A feed that the database has never seen is left out.
-- The lag, from event time to arrival, is that of the newest tick of the last 30 seconds.
SELECT 'feeds' AS part, coalesce(json_agg(row_to_json(status)), '[]') AS content
FROM (
    SELECT feed.feed, feed.provider, feed.synthetic, feed.enabled, feed.candles,
        lease.owner, lease.released_at IS NOT NULL AS released, lease.clock_trouble,
        extract(epoch FROM clock_timestamp() - lease.heartbeat_at)::float8 AS heartbeat_age,
        session.state, session.detail, extract(epoch FROM session.at)::float8 AS state_since,
        account.events, account.loaded, account.replaced, account.duplicate, account.rejected, account.control,
        extract(epoch FROM clock_timestamp() - account.last_data_at)::float8 AS data_age, newest.lag,
        (SELECT json_object_agg(journal_id, position) FROM ticks_platform.feed_checkpoint AS committed
            WHERE committed.feed = feed.feed AND committed_at > now() - INTERVAL '1 day') AS positions
    FROM ticks_platform.feed AS feed
    LEFT JOIN ticks_platform.feed_lease AS lease ON lease.feed = feed.feed
    LEFT JOIN LATERAL (
        SELECT state, detail, at FROM ticks_platform.feed_session WHERE feed_session.feed = feed.feed ORDER BY at DESC LIMIT 1
    ) AS session ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(sum(loaded), 0)::bigint AS loaded,
            coalesce(sum(replaced), 0)::bigint AS replaced, coalesce(sum(duplicate), 0)::bigint AS duplicate,
            coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(control), 0)::bigint AS control,
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
    WHERE feed.feed = ANY ({feeds})
) AS status
