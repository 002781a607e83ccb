-- The times of a file's ticks, with those of a batch.
UPDATE ticks_platform.feed_import
SET first_time = least(first_time, %(first)s), last_time = greatest(last_time, %(last)s)
WHERE journal_id = %(journal_id)s;
