-- Whether a file was imported to its end.
SELECT FROM ticks_platform.feed_import WHERE journal_id = %(journal_id)s AND finished_at IS NOT NULL;
