-- How far a journal went on its machine, as its copy tells: the database may not have heard of that.
UPDATE ticks_platform.feed_checkpoint
SET heard_to = greatest(heard_to, %(end)s), heard_frames = greatest(heard_frames, %(frames)s)
WHERE journal_id = %(journal_id)s;
