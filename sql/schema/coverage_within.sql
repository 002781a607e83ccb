-- When a symbol was received, of a time, whatever else there is of years: coverage that begins in it, that reaches into it from the day
-- before, that reaches into it from longer ago, of which there is little, and what lasts. Owners and connections overlap, so the one before
-- would not do.
-- With a body that is parsed, it needs no search_path of its own, and becomes a part of the query that calls it.
CREATE OR REPLACE FUNCTION ticks_platform.coverage_within(
    of_feed text, of_symbol text, begins timestamptz, ends timestamptz
) RETURNS TABLE (begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.begins_at >= begins AND coverage.begins_at < ends
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.begins_at >= begins - INTERVAL '24 hours'
        AND coverage.begins_at < begins AND coverage.ends_at > begins
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    -- As the index has it that finds what is long.
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coverage.ends_at - coverage.begins_at > INTERVAL '24 hours'
        AND coverage.ends_at > begins AND coverage.begins_at < begins - INTERVAL '24 hours'
    UNION ALL
    SELECT coverage.begins_at, coverage.ends_at
    FROM ticks_platform.feed_coverage AS coverage
    -- As the index has it that finds what lasts.
    WHERE coverage.feed = of_feed AND coverage.symbol = of_symbol AND coalesce(coverage.ends_at, 'infinity') = 'infinity'
        AND coverage.begins_at < begins AND coverage.ends_at IS NULL;
END;

COMMENT ON FUNCTION ticks_platform.coverage_within IS 'When a symbol of a feed was received, of a time.';
