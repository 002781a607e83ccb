-- The gaps of a symbol that lie in a time or reach into it, whatever else there is of years: those that begin in it, of the 32 before
-- those that reach into it, and what lasts. Gaps of a symbol of a feed do not overlap, so the one before would do; rows by hand may.
-- With a body that is parsed, it needs no search_path of its own, and becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.gaps_within(
    of_feed text, of_symbol text, begins timestamptz, ends timestamptz
) RETURNS TABLE (begins_at timestamptz, ends_at timestamptz, cause text, state text, rows_repaired bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM ticks_platform.feed_gap AS gap
    WHERE gap.feed = of_feed AND gap.symbol = of_symbol AND gap.begins_at >= begins AND gap.begins_at < ends
    UNION ALL
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM (
        SELECT before.*
        FROM ticks_platform.feed_gap AS before
        WHERE before.feed = of_feed AND before.symbol = of_symbol AND before.begins_at < begins
        ORDER BY before.begins_at DESC
        LIMIT 32
    ) AS gap
    WHERE gap.ends_at > begins
    UNION ALL
    SELECT gap.begins_at, gap.ends_at, gap.cause, gap.state, gap.rows_repaired
    FROM ticks_platform.feed_gap AS gap
    WHERE gap.feed = of_feed AND gap.symbol = of_symbol AND gap.begins_at < begins AND gap.ends_at IS NULL;
END;

COMMENT ON FUNCTION ticks_platform.gaps_within IS 'The gaps of a symbol of a feed that lie in a time or reach into it.';
