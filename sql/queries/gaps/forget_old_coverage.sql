-- Deletes the oldest coverage of a feed: what ended before a moment and whose gaps are computed, for each symbol up to the first whose
-- gaps are not, and never the last ten, which are searched for the end of coverage before a change. No gap changes: gaps are computed
-- again only from the first change on. The oldest that stay are marked, so that nothing counts as missing before them.
WITH kept AS (
    SELECT known.symbol, least(tenth.begins_at, unsettled.begins_at) AS begins_at
    FROM (SELECT DISTINCT symbol FROM ticks_platform.feed_symbol WHERE feed = %(feed)s) AS known
    CROSS JOIN LATERAL (
        SELECT begins_at FROM ticks_platform.feed_coverage AS coverage
        WHERE coverage.feed = %(feed)s AND coverage.symbol = known.symbol
        ORDER BY begins_at DESC OFFSET 9 LIMIT 1
    ) AS tenth
    LEFT JOIN LATERAL (
        SELECT min(begins_at) AS begins_at FROM ticks_platform.feed_coverage AS coverage
        WHERE coverage.feed = %(feed)s AND coverage.symbol = known.symbol
            AND NOT (computed AND coalesce(ends_at, 'infinity') < %(before)s)
    ) AS unsettled ON true
),
oldest AS (
    SELECT coverage.ctid AS place
    FROM ticks_platform.feed_coverage AS coverage
    JOIN kept USING (symbol)
    WHERE coverage.feed = %(feed)s AND coverage.begins_at < kept.begins_at
    ORDER BY coverage.begins_at
    LIMIT %(limit)s
),
forgotten AS (
    DELETE FROM ticks_platform.feed_coverage WHERE ctid IN (SELECT place FROM oldest)
    RETURNING symbol, begins_at
),
last AS (
    SELECT symbol, max(begins_at) AS begins_at FROM forgotten GROUP BY symbol
),
-- What it told of the time since when symbols are wanted counts as said.
told AS (
    UPDATE ticks_platform.feed_symbol SET said_from = NULL WHERE feed = %(feed)s AND said_from < %(before)s
)
UPDATE ticks_platform.feed_coverage AS known SET is_first_kept = true
FROM last
WHERE known.feed = %(feed)s AND known.symbol = last.symbol AND known.begins_at = (
    SELECT min(begins_at) FROM ticks_platform.feed_coverage AS later
    WHERE later.feed = %(feed)s AND later.symbol = last.symbol AND later.begins_at > last.begins_at
);
