-- Seconds until the provider accepts another request of this account; 0 or less when it does now.
SELECT coalesce(extract(epoch FROM max(pause_until) - clock_timestamp()), 0)::double precision
FROM ticks_platform.feed_repair_request
WHERE account = %(account)s;
