-- Divides an open gap at a moment, and returns the number of the part after it; no row if the gap has changed.
WITH earlier AS (
    UPDATE ticks_platform.feed_gap SET ends_at = %(at)s, changed_at = clock_timestamp()
    WHERE gap_id = %(gap_id)s AND state = 'open' AND begins_at = %(begin)s AND ends_at = %(end)s
    RETURNING feed, symbol, cause, detail, found_at
)
INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, detail, found_at)
SELECT feed, symbol, %(at)s, %(end)s, cause, detail, found_at
FROM earlier
RETURNING gap_id;
