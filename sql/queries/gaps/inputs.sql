-- What the gaps of these symbols follow from, each from a moment on (NULL: from the beginning). Columns: kind of row, symbol, begin, end,
-- then what ended it (coverage), calendar and refusal (wanted), or state, cause and id (gap).
WITH given AS (
    SELECT symbol, coalesce(since, '-infinity') AS since
    FROM unnest(%(symbols)s::text[], %(since)s::timestamptz[]) AS given (symbol, since)
)
SELECT 'coverage' AS kind, symbol, begins_at, ends_at, ended_by AS word, NULL AS detail, NULL::bigint AS gap_id
FROM given
JOIN ticks_platform.feed_coverage AS known USING (symbol)
WHERE feed = %(feed)s AND coalesce(ends_at, 'infinity') >= since
UNION ALL
SELECT 'wanted', symbol, wanted_from, wanted_until, calendar, refusal, NULL
FROM given
JOIN ticks_platform.feed_symbol AS known USING (symbol)
WHERE feed = %(feed)s AND coalesce(wanted_until, 'infinity') > since
UNION ALL
SELECT 'gap', symbol, begins_at, ends_at, state, cause, gap_id
FROM given
JOIN ticks_platform.feed_gap AS known USING (symbol)
WHERE feed = %(feed)s AND coalesce(ends_at, 'infinity') > since
ORDER BY symbol, kind, begins_at;
