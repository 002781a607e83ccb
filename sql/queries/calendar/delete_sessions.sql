-- Deletes the sessions of these calendars that open in a time and are not among those given.
DELETE FROM ticks_platform.market_session
WHERE calendar = ANY (%(calendars)s) AND opens_at >= %(begin)s AND opens_at < %(end)s
    AND (calendar, opens_at) NOT IN (SELECT * FROM unnest(%(names)s::text[], %(openings)s::timestamptz[]));
