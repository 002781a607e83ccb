-- Whether ticks of a feed in a time were loaded.
SELECT EXISTS (
    SELECT
    FROM ticks_platform.feed_hour
    WHERE feed = %(feed)s AND destination = 'stocks_real_time' AND hour >= time_bucket(INTERVAL '1 hour', %(begin)s) AND hour < %(end)s
);
