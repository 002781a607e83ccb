-- Marks the fetched ranges of a journal: all that it held is in its table.
UPDATE ticks_platform.feed_repair SET state = 'loaded', changed_at = clock_timestamp()
WHERE feed = %(feed)s AND journal_id = %(journal_id)s AND state = 'fetched';
