-- The ranges of a feed that were fetched or have failed, newest first. A failed one that was asked for again is left out.
SELECT symbol, begins_at, ends_at, state, error
FROM ticks_platform.feed_repair AS repair
WHERE feed = %(feed)s AND kind = %(kind)s AND state <> 'wanted' AND NOT (state = 'failed' AND EXISTS (
    SELECT FROM ticks_platform.feed_repair AS other
    WHERE other.feed = repair.feed AND other.kind = repair.kind AND other.symbol = repair.symbol
        AND other.state <> 'failed' AND other.begins_at < repair.ends_at AND other.ends_at > repair.begins_at
))
ORDER BY repair_id DESC;
