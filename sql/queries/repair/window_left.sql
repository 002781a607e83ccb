-- Seconds until a request of so many credits fits into the window that ends now, beside those made in it; no row when it fits already.
SELECT extract(epoch FROM at + make_interval(secs => %(seconds)s) - clock_timestamp())::double precision
FROM (
    SELECT at, sum(credits) OVER (ORDER BY at DESC, request_id DESC) AS used
    FROM ticks_platform.feed_repair_request
    WHERE account = %(account)s AND at > clock_timestamp() - make_interval(secs => %(seconds)s)
) AS made
WHERE used > %(limit)s - %(credits)s
ORDER BY at DESC
LIMIT 1;
