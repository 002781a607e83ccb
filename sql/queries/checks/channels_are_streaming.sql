-- The state of the channels that enabled feeds have asked for: one row a feed, with the newest of those that do not stream,
-- and why its provider refuses the feed or cannot be reached, if that is so. A feed that has never connected has no row.
WITH recent AS (
    SELECT feed.feed, session.epoch, session.at, session.state, session.detail,
        max(session.epoch) OVER (PARTITION BY feed.feed) AS newest_epoch,
        row_number() OVER (PARTITION BY feed.feed ORDER BY session.at DESC) AS place
    FROM ticks_platform.feed AS feed
    CROSS JOIN LATERAL (
        SELECT epoch, at, state, detail FROM ticks_platform.feed_session
        WHERE feed_session.feed = feed.feed ORDER BY at DESC LIMIT 200
    ) AS session
    WHERE feed.enabled AND feed.feed = ANY (%(feeds)s)
),
connection AS (
    SELECT feed,
        -- The other connections of a refused feed are closed after it.
        (array_agg(detail ORDER BY at DESC) FILTER (WHERE state = 'refused' AND epoch = newest_epoch))[1] AS refused,
        (array_agg(detail) FILTER (WHERE place = 1 AND state IN ('backing off', 'connecting', 'authenticating')))[1] AS away,
        max(at) FILTER (WHERE place = 1)
            - max(at) FILTER (WHERE state IN ('subscribing', 'streaming', 'stalled')) < INTERVAL '10 seconds' AS was_connected
    FROM recent
    GROUP BY feed
),
channel AS (
    SELECT
        feed,
        count(*) FILTER (WHERE state = 'subscribed') AS subscribed,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'silent') AS silent,
        (array_agg(json_build_object('channel', channel, 'state', state, 'since', since, 'detail', detail)
            ORDER BY since DESC) FILTER (WHERE state <> 'subscribed'))[1:10] AS examples
    FROM ticks_platform.feed_channel
    WHERE feed = ANY (%(feeds)s)
    GROUP BY feed
)
SELECT
    feed.feed,
    coalesce(subscribed, 0) AS subscribed,
    coalesce(failed, 0) AS failed,
    coalesce(silent, 0) AS silent,
    coalesce(examples, '{}') AS examples,
    refused,
    -- A connection that was lost a moment ago is no trouble yet, if its channels were confirmed.
    CASE WHEN NOT (coalesce(was_connected, false) AND coalesce(subscribed, 0) > 0) THEN away END AS away
FROM ticks_platform.feed AS feed
LEFT JOIN channel USING (feed)
LEFT JOIN connection USING (feed)
WHERE feed.enabled AND feed.feed = ANY (%(feeds)s) AND (channel.feed IS NOT NULL OR connection.feed IS NOT NULL)
ORDER BY feed.feed;
