-- The files of a feed that are loaded, whose candles and gaps are not settled; and those that are given, whether they are or not. With the
-- symbols of which they have ticks: where an older release has not kept them, those of its ticks that are stored.
SELECT journal_id::text, format, first_time, last_time, settled_at IS NOT NULL, coalesce(
    symbols,
    (
        SELECT array_agg(DISTINCT symbol)
        FROM stocks_real_time AS stored
        WHERE stored.feed = known.feed AND time BETWEEN first_time AND last_time
            AND ('x' || right(tick_id::text, 4))::bit(16)::int = journal_number
    ),
    '{}'
), started_at
FROM ticks_platform.feed_import AS known
WHERE feed = %(feed)s AND finished_at IS NOT NULL AND (settled_at IS NULL OR journal_id = ANY (%(again)s::uuid[]))
ORDER BY first_time;
