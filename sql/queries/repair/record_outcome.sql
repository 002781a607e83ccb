-- Records what came of a request, and for how many seconds the provider wants no other one (NULL: it did not say).
UPDATE ticks_platform.feed_repair_request
SET outcome = %(outcome)s, pause_until = clock_timestamp() + make_interval(secs => %(pause)s)
WHERE request_id = %(request_id)s;
