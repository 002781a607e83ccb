-- Part of the live page's statement: how these feeds are. Ages are in seconds.
SELECT 'feeds' AS part, coalesce(json_agg(row_to_json(status)), '[]') AS content
FROM (
    SELECT feed, provider, synthetic, enabled, candles, owner, released, clock_trouble, heartbeat_age,
        state, detail, extract(epoch FROM state_since)::float8 AS state_since,
        events, loaded, replaced, duplicate, rejected, control,
        extract(epoch FROM clock_timestamp() - last_data_at)::float8 AS data_age, lag,
        -- How often it has connected.
        (SELECT count(*) FROM ticks_platform.feed_session AS session WHERE session.feed = now.feed AND session.state = 'connecting'
            AND session.at > now() - INTERVAL '1 hour') AS connects,
        (SELECT json_object_agg(journal_id, position) FROM ticks_platform.feed_checkpoint AS committed
            WHERE committed.feed = now.feed AND committed_at > now() - INTERVAL '1 day') AS positions
    FROM ({status}) AS now
) AS status
