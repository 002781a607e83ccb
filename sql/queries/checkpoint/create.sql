-- A checkpoint for a journal that this database has never seen. An empty journal begins after the feed's other journals, so that
-- ticks with the same time stamp still sort by arrival.
INSERT INTO ticks_platform.feed_checkpoint (feed, journal_id, position, frames, frames_before, committed_at)
SELECT %(feed)s, %(journal_id)s, coalesce(%(start)s, max(position), 0), 0, %(frames)s, clock_timestamp()
FROM ticks_platform.feed_checkpoint
WHERE feed = %(feed)s
RETURNING journal_number, position, frames_before;
