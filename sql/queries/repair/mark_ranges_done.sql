-- Marks the loaded ranges of a feed's gaps: their candles are up to date and their gaps settled.
UPDATE ticks_platform.feed_repair SET state = 'done', changed_at = clock_timestamp()
WHERE feed = %(feed)s AND state = 'loaded' AND kind IN ('trades', 'bars', 'extended_bars');
