-- Records that a page of a range is in the journal. A page that is recorded already changes nothing.
UPDATE ticks_platform.feed_repair
SET
    state = CASE WHEN %(cursor)s::text IS NULL THEN 'fetched' ELSE 'wanted' END,
    cursor = %(cursor)s,
    pages = %(page)s,
    results = results + %(results)s,
    journal_id = %(journal)s,
    error = '',
    failures = 0,
    retry_at = NULL,
    changed_at = clock_timestamp()
WHERE repair_id = %(id)s AND pages = %(page)s - 1;
