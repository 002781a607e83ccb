-- Records that a feed streams these symbols from a moment on, each with its calendar, and no others.
WITH given AS (
    SELECT symbol, calendar FROM unnest(%(symbols)s::text[], %(calendars)s::text[]) AS given (symbol, calendar)
),
ended AS (
    UPDATE ticks_platform.feed_symbol SET wanted_until = greatest(%(at)s, wanted_from)
    WHERE feed = %(feed)s AND wanted_until IS NULL AND symbol NOT IN (SELECT symbol FROM given)
),
changed AS (
    UPDATE ticks_platform.feed_symbol AS known SET calendar = given.calendar
    FROM given
    WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND known.wanted_until IS NULL
        AND known.calendar <> given.calendar
)
INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar)
SELECT %(feed)s, symbol, %(at)s, calendar
FROM given
WHERE NOT EXISTS (
    SELECT FROM ticks_platform.feed_symbol AS known
    WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND known.wanted_until IS NULL
)
ON CONFLICT (feed, symbol, wanted_from) DO UPDATE SET wanted_until = NULL;
