-- A feed whose repair is running now, has requests to make for gaps, and shares the limits of an account: it has made requests of it.
SELECT repair.feed
FROM ticks_platform.feed_repair AS repair
JOIN ticks_platform.feed_repair_lease AS lease USING (feed)
WHERE repair.feed <> %(feed)s AND kind IN ('trades', 'bars', 'extended_bars') AND state = 'wanted' AND coalesce(retry_at <= clock_timestamp(), true)
    AND released_at IS NULL AND heartbeat_at > clock_timestamp() - make_interval(secs => %(alive)s)
    AND repair.feed IN (
        SELECT made.feed
        FROM ticks_platform.feed_repair_request AS request
        JOIN ticks_platform.feed_repair AS made USING (repair_id)
        WHERE request.account = %(account)s
    )
LIMIT 1;
