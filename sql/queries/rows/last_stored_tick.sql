-- Event time of the newest tick of a feed, in nanoseconds since the Unix epoch. Only the last hour that was loaded is searched; when
-- none of its ticks are left, the end of that hour is returned, since ticks of the hours before it may still be there.
SELECT (
    extract(epoch FROM coalesce(
        (SELECT time FROM stocks_real_time WHERE feed = %(feed)s AND time >= last.hour ORDER BY time DESC LIMIT 1),
        last.hour + INTERVAL '1 hour'
    )) * 1000000
)::bigint * 1000 + 999
FROM (
    SELECT max(hour) AS hour
    FROM ticks_platform.feed_hour
    WHERE feed = %(feed)s AND destination = 'stocks_real_time' AND isfinite(hour)
) AS last;
