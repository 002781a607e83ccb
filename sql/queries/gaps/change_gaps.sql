-- Gives gaps other bounds, or another cause.
UPDATE ticks_platform.feed_gap AS known
SET begins_at = given.begins_at, ends_at = given.ends_at, cause = given.cause, changed_at = clock_timestamp()
FROM (VALUES %s) AS given (gap_id, begins_at, ends_at, cause)
WHERE known.gap_id = given.gap_id;
