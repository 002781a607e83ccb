-- The symbols that a feed streamed within a time, those with the longest gaps first, each with its calendars, since when each of them was
-- valid, and its gaps.
WITH known AS (
    SELECT
        symbol, calendar, wanted_from,
        wanted_from IS DISTINCT FROM lag(wanted_until) OVER (PARTITION BY symbol ORDER BY wanted_from) AS begins
    FROM ticks_platform.feed_symbol
    WHERE feed = %(feed)s AND wanted_from < %(end)s AND coalesce(wanted_until, 'infinity') > %(begin)s
),
wanted AS (
    SELECT symbol, array_agg(calendar ORDER BY wanted_from) AS calendars, array_agg(wanted_from ORDER BY wanted_from) AS since
    FROM known
    WHERE wanted_from >= (SELECT max(last.wanted_from) FROM known AS last WHERE last.symbol = known.symbol AND last.begins)
    GROUP BY symbol
),
gap AS (
    SELECT symbol, greatest(begins_at, %(begin)s) AS begins_at, least(ends_at, %(end)s) AS ends_at, cause, state
    FROM ticks_platform.feed_gap
    WHERE feed = %(feed)s AND begins_at < %(end)s AND coalesce(ends_at, 'infinity') > %(begin)s
)
SELECT
    symbol,
    calendars,
    since,
    coalesce(array_agg(begins_at ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(ends_at ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(cause ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(state ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    count(*) OVER ()
FROM wanted
LEFT JOIN gap USING (symbol)
GROUP BY symbol, calendars, since
ORDER BY coalesce(sum(ends_at - begins_at), INTERVAL '0') DESC, symbol
LIMIT %(limit)s;
