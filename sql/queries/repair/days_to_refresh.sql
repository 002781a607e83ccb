-- The UTC days in which trades of a feed were loaded whose candles are not known to be up to date.
SELECT DISTINCT day, day + INTERVAL '24 hours'
FROM
    ticks_platform.feed_repair,
    generate_series(
        time_bucket(INTERVAL '1 day', begins_at), ends_at - INTERVAL '1 microsecond', INTERVAL '24 hours'
    ) AS day
WHERE feed = %(feed)s AND state = 'loaded' AND kind = 'trades'
ORDER BY day;
