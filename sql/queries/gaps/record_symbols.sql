-- Records that a feed streams these symbols from a moment on, each with the calendar of its sending hours, and no others. Time before the
-- moment stays judged by the calendar that was valid then.
WITH given AS (
    SELECT symbol, calendar FROM unnest(%(symbols)s::text[], %(calendars)s::text[]) AS given (symbol, calendar)
),
unchanged AS (
    SELECT symbol
    FROM ticks_platform.feed_symbol
    JOIN given USING (symbol, calendar)
    WHERE feed = %(feed)s AND wanted_until IS NULL
),
-- Recorded a moment ago, or later than this: it gets the calendar from its beginning.
replaced AS (
    UPDATE ticks_platform.feed_symbol AS known SET calendar = given.calendar
    FROM given
    WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND known.wanted_until IS NULL
        AND known.calendar <> given.calendar AND known.wanted_from >= %(at)s
    RETURNING known.symbol
),
ended AS (
    UPDATE ticks_platform.feed_symbol SET wanted_until = greatest(%(at)s, least(wanted_from, by_server))
    WHERE feed = %(feed)s AND wanted_until IS NULL AND symbol NOT IN (SELECT symbol FROM unchanged)
        AND (wanted_from < %(at)s OR symbol NOT IN (SELECT symbol FROM given))
    RETURNING symbol, refusal
)
INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar, refusal, epoch, by_server)
SELECT %(feed)s, symbol, %(at)s, calendar, refusal, %(epoch)s, clock_timestamp() - %(elapsed)s::interval
FROM given
LEFT JOIN ended USING (symbol)
WHERE symbol NOT IN (SELECT symbol FROM unchanged) AND symbol NOT IN (SELECT symbol FROM replaced)
ON CONFLICT (feed, symbol, wanted_from) DO UPDATE
SET wanted_until = NULL, calendar = excluded.calendar, refusal = excluded.refusal, epoch = excluded.epoch,
    said_from = NULL, by_server = excluded.by_server;
