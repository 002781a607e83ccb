-- Of a file's symbols, those that a feed was not received for in all of a time: with an open gap that reaches into it, or not asked for throughout.
SELECT symbol
FROM unnest(%(symbols)s::text[]) AS given (symbol)
WHERE EXISTS (
        SELECT FROM ticks_platform.feed_gap AS gap
        WHERE gap.feed = %(feed)s AND gap.symbol = given.symbol AND state = 'open' AND ends_at > %(begin)s AND begins_at < %(end)s
    )
    OR NOT EXISTS (
        SELECT FROM ticks_platform.feed_symbol AS known
        WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND wanted_from <= %(begin)s AND coalesce(wanted_until, 'infinity') >= %(end)s
    )
ORDER BY symbol;
