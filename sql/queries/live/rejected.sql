-- Part of the live page's statement: the newest events of these feeds that were rejected. The positions of a journal grow with time, and
-- have an index.
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
