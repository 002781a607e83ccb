-- Feeds whose ticks make candles, with the moment until when all that they received is loaded, NULL while something waits; and whether a
-- journal of theirs is open.
SELECT feed, until, is_open
FROM ticks_platform.loaded_until
JOIN ticks_platform.feed USING (feed)
WHERE candles AND feed <> 'manual';
