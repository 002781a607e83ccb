-- The hours to which ticks or corrections came since a moment, some time after the hour's end.
SELECT DISTINCT hour
FROM ticks_platform.feed_hour
WHERE destination IN ('stocks_real_time', 'tick_correction') AND isfinite(hour)
    AND changed_at > %(since)s AND changed_at > hour + INTERVAL '1 hour' + %(settled)s
ORDER BY hour
