-- The ticks of these feeds were found to be marked as the feeds are, after the given moment.
UPDATE ticks_platform.feed SET candles_changed_at = NULL
WHERE feed = ANY (%(feeds)s) AND candles_changed_at < %(since)s;
