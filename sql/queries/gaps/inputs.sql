-- What the gaps of these symbols follow from, each from a moment on (NULL: from the beginning). Columns: kind of row, symbol, begin, end,
-- then what ended it (coverage), calendar and refusal (wanted), or state, cause and id (gap).
-- The ORDER BY within keeps each symbol's rows apart: so they are looked up by symbol and end, and not all rows of years are read.
WITH given AS (
    SELECT symbol, coalesce(since, '-infinity') AS since
    FROM unnest(%(symbols)s::text[], %(since)s::timestamptz[]) AS given (symbol, since)
)
SELECT 'coverage' AS kind, symbol, begins_at, ends_at, ended_by AS word, NULL AS detail, NULL::bigint AS gap_id
FROM given
CROSS JOIN LATERAL (
    SELECT begins_at, ends_at, ended_by
    FROM ticks_platform.feed_coverage AS known
    WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND coalesce(known.ends_at, 'infinity') >= since
    ORDER BY coalesce(known.ends_at, 'infinity')
) AS coverage
UNION ALL
SELECT 'wanted', symbol, wanted_from, wanted_until, calendar, refusal, NULL
FROM given
JOIN ticks_platform.feed_symbol AS known USING (symbol)
WHERE feed = %(feed)s AND coalesce(wanted_until, 'infinity') > since
UNION ALL
SELECT 'gap', symbol, begins_at, ends_at, state, cause, gap_id
FROM given
CROSS JOIN LATERAL (
    SELECT begins_at, ends_at, state, cause, gap_id
    FROM ticks_platform.feed_gap AS known
    WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND coalesce(known.ends_at, 'infinity') > since
    ORDER BY coalesce(known.ends_at, 'infinity')
) AS gap
ORDER BY symbol, kind, begins_at;
