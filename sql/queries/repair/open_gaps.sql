-- The gaps of a feed that are open and have ended, oldest first, each with the calendar by which it was judged; NULL if the symbol was not
-- in feeds.yaml.
SELECT gap_id, symbol, begins_at, ends_at, (
    SELECT calendar FROM ticks_platform.feed_symbol AS wanted
    WHERE wanted.feed = gap.feed AND wanted.symbol = gap.symbol AND wanted.wanted_from < gap.ends_at
    ORDER BY wanted_from DESC
    LIMIT 1
)
FROM ticks_platform.feed_gap AS gap
WHERE feed = %(feed)s AND state = 'open' AND ends_at IS NOT NULL
ORDER BY begins_at, symbol;
