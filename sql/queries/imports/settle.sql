-- The candles of these files are up to date, and the gaps that they fill closed.
UPDATE ticks_platform.feed_import SET settled_at = clock_timestamp() WHERE journal_id = ANY (%(journal_ids)s::uuid[]);
