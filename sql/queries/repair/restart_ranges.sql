-- Has ranges fetched again that were not loaded from another journal: it was damaged, or is on another machine.
UPDATE ticks_platform.feed_repair
SET state = 'wanted', cursor = NULL, pages = 0, results = 0, journal_id = NULL, changed_at = clock_timestamp()
WHERE feed = %(feed)s AND journal_id <> %(journal_id)s AND state IN ('wanted', 'fetched');
