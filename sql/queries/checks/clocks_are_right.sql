-- What is wrong with the clocks of the machines that ingest these feeds, in the words of their runs.
SELECT feed, clock_trouble
FROM ticks_platform.feed_lease
JOIN ticks_platform.feed USING (feed)
WHERE feed = ANY (%(feeds)s) AND enabled AND released_at IS NULL AND clock_trouble IS NOT NULL
ORDER BY feed;
