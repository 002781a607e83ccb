-- Marks the fetched ranges of a journal as loaded: all their rows are in their table.
UPDATE ticks_platform.feed_repair SET state = 'loaded', changed_at = clock_timestamp()
WHERE feed = %(feed)s AND journal_id = %(journal_id)s AND state = 'fetched';
