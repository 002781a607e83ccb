-- The symbols of a day that wait for nothing any more: all that was to be fetched for them is loaded, or has failed.
SELECT day.symbol, day.mode, day.state, day.begins_at, day.ends_at, max(repair.error) FILTER (WHERE repair.state = 'failed')
FROM ticks_platform.feed_true_up AS day
LEFT JOIN ticks_platform.feed_repair AS repair ON repair.feed = day.feed AND repair.symbol = day.symbol
    AND repair.kind IN ('true_up_bars', 'true_up_trades')
    AND repair.begins_at < day.ends_at AND repair.ends_at > day.begins_at
WHERE day.feed = %(feed)s AND day.day = %(day)s AND day.state IN ('wanted', 'differs')
GROUP BY day.feed, day.day, day.symbol
HAVING bool_and(coalesce(repair.state IN ('loaded', 'done', 'failed'), true))
ORDER BY day.symbol;
