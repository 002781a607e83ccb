-- Journals of a feed in which frames wait or may wait, as last heard, but for the given ones and those that are declared lost: with the
-- checkpoint, and the number of frames before it.
SELECT journal_id::text, position, frames_before + frames
FROM ticks_platform.feed_checkpoint
WHERE feed = %(feed)s AND heard_at IS NOT NULL AND lost_at IS NULL AND (is_open OR heard_frames > frames_before + frames)
    AND journal_id <> ALL (%(here)s::uuid[])
ORDER BY heard_at;
