-- The symbols of a feed whose splits and dividends are to be asked for, those that have waited longest first.
SELECT symbol
FROM unnest(%(symbols)s::text[]) AS symbol
LEFT JOIN (SELECT symbol, asked_at FROM ticks_platform.corporate_action_check WHERE feed = %(feed)s) AS checked USING (symbol)
WHERE asked_at IS NULL OR asked_at < now() - %(every)s::interval
ORDER BY asked_at NULLS FIRST, symbol;
