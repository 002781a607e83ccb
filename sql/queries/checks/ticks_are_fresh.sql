-- Seconds since the last tick of each feed arrived, as counted while it was loaded: no tick is read. Corrections are left out, since
-- those that the true-up finds say nothing of the stream, and trading halts, which are no ticks.
SELECT
    feed.feed,
    enabled,
    -- By a clock that is ahead, they arrived after they were committed.
    max(least(last_received_at, changed_at)) AS last_received_at,
    extract(epoch FROM now() - max(least(last_received_at, changed_at)))::double precision AS age_seconds,
    -- How long it has been received, whatever that was; NULL if it never was.
    (
        SELECT extract(epoch FROM now() - min(first_received_at))::double precision
        FROM ticks_platform.feed_ledger WHERE feed_ledger.feed = feed.feed
    ) AS received_for_seconds
FROM ticks_platform.feed
LEFT JOIN ticks_platform.feed_hour ON feed_hour.feed = feed.feed AND destination NOT IN ('tick_correction', 'trading_halt')
WHERE feed.feed = ANY (%(feeds)s)
GROUP BY feed.feed, enabled
ORDER BY feed.feed;
