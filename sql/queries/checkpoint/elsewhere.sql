-- Journals in which frames wait or may wait, as last heard, but for the given ones and those that are declared lost: with their feed, where
-- they are, how many frames and bytes, whether more may have been appended, and whether the feed's owner does so now.
SELECT
    feed,
    checkpoint.journal_id::text,
    host,
    machine,
    file,
    heard_at AT TIME ZONE 'UTC',
    greatest(0, heard_frames - frames_before - frames),
    greatest(0, heard_to - greatest(position, heard_from)),
    is_open,
    coalesce(
        checkpoint.journal_id = lease.journal_id AND released_at IS NULL
        AND heartbeat_at > clock_timestamp() - %(dead_after)s * INTERVAL '1 second',
        false
    )
FROM ticks_platform.feed_checkpoint AS checkpoint
LEFT JOIN ticks_platform.feed_lease AS lease USING (feed)
WHERE heard_at IS NOT NULL AND lost_at IS NULL AND (is_open OR heard_frames > frames_before + frames)
    AND checkpoint.journal_id <> ALL (%(here)s::uuid[])
ORDER BY feed, heard_at;
