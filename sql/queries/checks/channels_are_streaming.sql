-- The state of the channels that enabled feeds have asked for: one row a feed, with the newest of those that do not stream.
SELECT
    feed,
    count(*) FILTER (WHERE state = 'subscribed') AS subscribed,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'silent') AS silent,
    coalesce(
        (array_agg(json_build_object('channel', channel, 'state', state, 'since', since, 'detail', detail)
            ORDER BY since DESC) FILTER (WHERE state <> 'subscribed'))[1:10],
        '{}'
    ) AS examples
FROM ticks_platform.feed_channel
JOIN ticks_platform.feed USING (feed)
WHERE enabled AND feed = ANY (%(feeds)s)
GROUP BY feed
ORDER BY feed;
