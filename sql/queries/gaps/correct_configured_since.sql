-- The clock was wrong when these symbols were recorded as streamed: it was at another moment. Coverage of earlier owners may tell an
-- earlier one: see wanted_since.sql.
UPDATE ticks_platform.feed_symbol
SET wanted_from = least(%(at)s, CASE WHEN said_from IS NOT NULL THEN wanted_from END),
    said_from = CASE WHEN said_from IS NOT NULL THEN %(at)s END
WHERE feed = %(feed)s AND symbol = ANY (%(symbols)s) AND wanted_until IS NULL
    AND coalesce(said_from, wanted_from) = ANY (%(wrong)s::timestamptz[]);
