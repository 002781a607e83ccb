-- Part of the live page's statement: how many gaps of these feeds are open, and the newest of them.
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
