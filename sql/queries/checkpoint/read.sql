-- The checkpoint of a journal: its number, the position up to which it is committed, and how many frames came before that.
SELECT journal_number, position, frames_before + frames
FROM ticks_platform.feed_checkpoint
WHERE journal_id = %(journal_id)s;
