-- Seconds until fewer than the given number of requests lie in the window that ends now; no row when fewer do.
SELECT extract(epoch FROM at + make_interval(secs => %(seconds)s) - clock_timestamp())::double precision
FROM ticks_platform.feed_repair_request
WHERE account = %(account)s AND at > clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY at DESC
OFFSET %(limit)s - 1
LIMIT 1;
