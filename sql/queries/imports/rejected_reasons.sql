-- Why rows of these files were rejected, as far as that is kept: the first reasons.
SELECT reason
FROM ticks_platform.rejected_event
JOIN ticks_platform.feed_checkpoint USING (journal_number)
WHERE feed_checkpoint.journal_id = ANY (%(journals)s::uuid[])
ORDER BY array_position(%(journals)s::uuid[], feed_checkpoint.journal_id), rejected_event.position
LIMIT 10;
