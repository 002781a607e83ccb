-- How the repair of a feed's gaps stands: the feed's requests in the last 24 hours, ranges that are not fetched to their end, and the newest error.
SELECT
    (
        SELECT count(*)
        FROM ticks_platform.feed_repair_request
        JOIN ticks_platform.feed_repair USING (repair_id)
        WHERE feed = %(feed)s AND at > now() - INTERVAL '24 hours'
    ),
    (
        SELECT count(*) FROM ticks_platform.feed_repair
        WHERE feed = %(feed)s AND kind IN ('trades', 'bars', 'extended_bars') AND state = 'wanted'
    ),
    coalesce(
        (
            SELECT error
            FROM ticks_platform.feed_repair
            WHERE feed = %(feed)s AND kind IN ('trades', 'bars', 'extended_bars') AND state IN ('wanted', 'failed') AND error <> ''
            ORDER BY changed_at DESC
            LIMIT 1
        ),
        ''
    );
