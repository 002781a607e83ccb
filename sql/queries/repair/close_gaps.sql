-- Gives open gaps their final state.
UPDATE ticks_platform.feed_gap
SET state = %(state)s, detail = %(detail)s, rows_repaired = %(rows)s, changed_at = clock_timestamp()
WHERE state = 'open' AND {condition};
