-- Marks a range as failed: asking again cannot help.
UPDATE ticks_platform.feed_repair SET state = 'failed', error = %(reason)s, changed_at = clock_timestamp()
WHERE repair_id = %(repair_id)s;
