-- The symbols that a feed streamed within a time, those with the longest gaps first, each with its calendar and its gaps.
WITH wanted AS (
    SELECT DISTINCT ON (symbol) symbol, calendar, wanted_from
    FROM ticks_platform.feed_symbol
    WHERE feed = %(feed)s AND wanted_from < %(end)s AND coalesce(wanted_until, 'infinity') > %(begin)s
    ORDER BY symbol, wanted_from DESC
),
gap AS (
    SELECT symbol, greatest(begins_at, %(begin)s) AS begins_at, least(ends_at, %(end)s) AS ends_at, cause, state
    FROM ticks_platform.feed_gap
    WHERE feed = %(feed)s AND begins_at < %(end)s AND coalesce(ends_at, 'infinity') > %(begin)s
)
SELECT
    symbol,
    calendar,
    wanted_from,
    coalesce(array_agg(begins_at ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(ends_at ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(cause ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    coalesce(array_agg(state ORDER BY begins_at) FILTER (WHERE begins_at IS NOT NULL), '{}'),
    count(*) OVER ()
FROM wanted
LEFT JOIN gap USING (symbol)
GROUP BY symbol, calendar, wanted_from
ORDER BY coalesce(sum(ends_at - begins_at), INTERVAL '0') DESC, symbol
LIMIT %(limit)s;
