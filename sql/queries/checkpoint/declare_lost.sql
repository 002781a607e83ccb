-- Declares a journal lost.
UPDATE ticks_platform.feed_checkpoint
SET lost_at = clock_timestamp(), lost_by = %(declared_by)s, lost_reason = %(reason)s
WHERE journal_id::text = %(journal_id)s AND heard_at IS NOT NULL;
