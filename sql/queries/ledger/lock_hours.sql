-- Whoever changes stored ticks holds the hours that they are counted in: so nobody else changes one of them, and nobody counts new ones,
-- until the fingerprints are changed too.
SELECT FROM ticks_platform.feed_hour
WHERE destination = 'stocks_real_time' AND feed = ANY (%(feeds)s) AND hour >= %(begin)s AND hour < %(end)s
ORDER BY feed, hour
FOR UPDATE;
