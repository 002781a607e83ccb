-- The symbols of feeds.yaml that were added since a moment and are received: when they were added and received first, and when they were in
-- feeds.yaml the last time before, if they were. A change of their hours is no addition, and owners' clocks that disagree make none.
SELECT symbol, calendar, wanted_from, received_from, before
FROM (
    SELECT DISTINCT ON (symbol) symbol, calendar, wanted_from, before
    FROM (
        SELECT
            symbol, calendar, wanted_from,
            max(coalesce(wanted_until, 'infinity')) OVER (
                PARTITION BY symbol ORDER BY wanted_from ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before
        FROM ticks_platform.feed_symbol
        WHERE feed = %(feed)s AND symbol IN (
            SELECT symbol FROM ticks_platform.feed_symbol WHERE feed = %(feed)s AND wanted_until IS NULL
        )
    ) AS known
    WHERE wanted_from <= before IS NOT true
    ORDER BY symbol, wanted_from DESC
) AS added
CROSS JOIN LATERAL (
    SELECT min(begins_at) AS received_from
    FROM ticks_platform.feed_coverage AS covered
    WHERE covered.feed = %(feed)s AND covered.symbol = added.symbol AND begins_at >= wanted_from
) AS first
WHERE wanted_from >= %(since)s AND received_from IS NOT NULL
ORDER BY symbol;
