-- Moves the checkpoint of a journal to the end of a batch; no row changes when it is there already.
UPDATE ticks_platform.feed_checkpoint
SET position = %(end)s, frames = frames + %(frames)s, committed_at = clock_timestamp()
WHERE journal_number = %(journal)s AND position < %(end)s;
