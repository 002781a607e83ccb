-- Has a range wait before it is tried again.
UPDATE ticks_platform.feed_repair
SET
    failures = failures + 1,
    error = %(reason)s,
    changed_at = clock_timestamp(),
    retry_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE repair_id = %(repair_id)s;
