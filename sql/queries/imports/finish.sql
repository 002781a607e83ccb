-- All rows of a file are loaded.
UPDATE ticks_platform.feed_import SET finished_at = clock_timestamp() WHERE journal_id = %(journal_id)s;
