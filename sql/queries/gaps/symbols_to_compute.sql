-- The symbols of a feed whose gaps may have changed, each with the moment from which they have to be computed again, and with what ended
-- the coverage at that moment. Given are the symbols whose coverage has changed, each with the begin of the first interval that has.
-- Added are those that are not received now, whose gap grows with time.
-- The moment is an end of coverage or the begin of a gap; NULL means from the beginning. Where earlier coverage is deleted, it is not
-- before the oldest that is kept.
WITH changed AS (
    SELECT symbol, first_begin FROM unnest(%(symbols)s::text[], %(begins)s::timestamptz[]) AS given (symbol, first_begin)
),
-- EXCEPT and not NOT EXISTS: it is hashed, also where a table was just filled and has no statistics, when the planner takes a join of
-- all pairs.
uncovered AS (
    (
        SELECT symbol FROM ticks_platform.feed_symbol WHERE feed = %(feed)s AND wanted_until IS NULL
        EXCEPT
        SELECT symbol FROM ticks_platform.feed_coverage WHERE feed = %(feed)s AND coalesce(ends_at, 'infinity') = 'infinity'
    )
    UNION
    SELECT symbol FROM ticks_platform.feed_gap WHERE feed = %(feed)s AND ends_at IS NULL
    EXCEPT
    SELECT symbol FROM changed
),
since AS (
    -- Owners overlap for moments only, so the last end before the change is among the last few that began before it.
    SELECT symbol, greatest(before.since, (
        SELECT max(begins_at) FROM ticks_platform.feed_coverage AS known
        WHERE known.feed = %(feed)s AND known.symbol = changed.symbol AND is_first_kept
    )) AS since
    FROM changed
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 0 THEN least(first_begin, max(ends_at)) END AS since
        FROM (
            SELECT ends_at
            FROM ticks_platform.feed_coverage AS known
            WHERE known.feed = %(feed)s AND known.symbol = changed.symbol AND known.begins_at < first_begin
                AND known.ends_at IS DISTINCT FROM known.begins_at
            ORDER BY known.begins_at DESC
            LIMIT 10
        ) AS last_few
    ) AS before
    UNION ALL
    SELECT symbol, greatest(
        (SELECT max(begins_at) FROM ticks_platform.feed_gap AS known WHERE feed = %(feed)s AND known.symbol = uncovered.symbol),
        (
            SELECT max(coalesce(ends_at, 'infinity'))
            FROM ticks_platform.feed_coverage AS known
            WHERE feed = %(feed)s AND known.symbol = uncovered.symbol AND known.ends_at IS DISTINCT FROM known.begins_at
        )
    )
    FROM uncovered
)
SELECT symbol, since, ended_by
FROM since
LEFT JOIN LATERAL (
    SELECT ended_by
    FROM ticks_platform.feed_coverage AS known
    WHERE known.feed = %(feed)s AND known.symbol = since.symbol AND coalesce(known.ends_at, 'infinity') <= since.since
        AND known.ends_at > known.begins_at
    ORDER BY coalesce(known.ends_at, 'infinity') DESC
    LIMIT 1
) AS last ON true;
