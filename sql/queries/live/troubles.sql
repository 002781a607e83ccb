-- Part of the live page's statement: the newest gaps of these feeds that are open, the newest events that were rejected, and how often
-- feeds have connected in the last hour. The positions of a journal grow with time, and have an index.
SELECT 'open_gaps' AS part, json_build_object('count', (
    SELECT count(*) FROM ticks_platform.feed_gap WHERE state = 'open' AND feed = ANY ({feeds})
), 'newest', coalesce(json_agg(json_build_object(
    'feed', feed, 'symbol', symbol, 'begin', extract(epoch FROM begins_at)::float8, 'end', extract(epoch FROM ends_at)::float8,
    'cause', cause, 'detail', detail
)), '[]')) AS content
FROM (
    SELECT * FROM ticks_platform.feed_gap WHERE state = 'open' AND feed = ANY ({feeds})
    ORDER BY begins_at DESC, feed, symbol LIMIT 20
) AS gap
UNION ALL
SELECT 'rejected', coalesce(json_agg(json_build_object(
    'feed', feed, 'at', extract(epoch FROM received_at)::float8, 'reason', reason, 'raw', encode(substr(raw, 1, 240), 'escape')
)), '[]')
FROM (
    SELECT event.*
    FROM (
        SELECT journal_number FROM ticks_platform.feed_checkpoint
        WHERE feed = ANY ({feeds}) ORDER BY committed_at DESC LIMIT 20
    ) AS journal
    CROSS JOIN LATERAL (
        SELECT * FROM ticks_platform.rejected_event AS rejected
        WHERE rejected.journal_number = journal.journal_number ORDER BY position DESC LIMIT 12
    ) AS event
    ORDER BY received_at DESC LIMIT 12
) AS newest
UNION ALL
SELECT 'connects', coalesce(json_object_agg(feed, connects), '{{}}')
FROM (
    SELECT feed, count(*) AS connects FROM ticks_platform.feed_session
    WHERE feed = ANY ({feeds}) AND at > now() - INTERVAL '1 hour' AND state = 'connecting'
    GROUP BY feed
) AS session
