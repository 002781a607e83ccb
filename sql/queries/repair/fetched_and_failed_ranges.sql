-- The ranges of a feed that were fetched or have failed and that may be of an open gap, newest first. A failed one that was asked for again
-- is left out. Ranges of settled gaps of years are not read.
WITH waiting AS MATERIALIZED (
    -- What is fetched of a gap begins a little before it.
    SELECT symbol, min(begins_at) - INTERVAL '1 day' AS since
    FROM ticks_platform.feed_gap
    WHERE feed = %(feed)s AND state = 'open'
    GROUP BY symbol
)
SELECT repair.symbol, begins_at, ends_at, state, error
FROM waiting
CROSS JOIN LATERAL (
    SELECT *
    FROM ticks_platform.feed_repair AS known
    WHERE known.feed = %(feed)s AND known.symbol = waiting.symbol AND known.kind = %(kind)s AND known.ends_at > since
    ORDER BY ends_at
) AS repair
WHERE state <> 'wanted' AND NOT (state = 'failed' AND EXISTS (
    SELECT FROM ticks_platform.feed_repair AS other
    WHERE other.feed = repair.feed AND other.kind = repair.kind AND other.symbol = repair.symbol
        AND other.state <> 'failed' AND other.begins_at < repair.ends_at AND other.ends_at > repair.begins_at
))
ORDER BY repair_id DESC;
