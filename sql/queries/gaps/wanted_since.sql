-- Since when these symbols were in feeds.yaml: since an owner said so, or since the first coverage of an owner before it, which did not
-- reach the database first, if at all. Whoever takes a feed earlier has a lower epoch, whatever the clocks say. Coverage that began
-- before an earlier time in which they were wanted ended tells nothing. Where an owner up to an `ended` epoch said a moment that was in
-- the future by the clock of the server, nobody will learn by how much its clock was ahead: it is the moment by the server's clock.
WITH known AS (
    SELECT symbol, wanted_from, epoch, before.wanted_until,
        greatest(before.wanted_until, CASE
            WHEN epoch <= %(ended)s AND coalesce(said_from, wanted_from) > by_server + INTERVAL '1 second' THEN by_server
            ELSE coalesce(said_from, wanted_from)
        END) AS said_from
    FROM ticks_platform.feed_symbol AS each
    CROSS JOIN LATERAL (
        SELECT max(wanted_until) AS wanted_until
        FROM ticks_platform.feed_symbol AS earlier
        WHERE earlier.feed = each.feed AND earlier.symbol = each.symbol AND earlier.wanted_from < each.wanted_from
            -- Clocks that disagree let a later owner have wanted it at an earlier time.
            AND coalesce(earlier.epoch, 0) <= each.epoch
    ) AS before
    WHERE feed = %(feed)s AND symbol = ANY (%(symbols)s) AND epoch IS NOT NULL
),
found AS (
    SELECT symbol, wanted_from, said_from, coalesce((
        SELECT min(begins_at)
        FROM ticks_platform.feed_coverage AS covered
        WHERE covered.feed = %(feed)s AND covered.symbol = known.symbol AND covered.epoch < known.epoch
            AND begins_at > coalesce(known.wanted_until, '-infinity') AND begins_at < known.said_from
            -- Begun by a clock that turned out to be wrong.
            AND (ended_by IS DISTINCT FROM 'clock_stepped' OR ends_at > begins_at)
    ), said_from) AS since
    FROM known
),
-- Two that overlapped may begin where the one before them ended.
first AS (
    SELECT DISTINCT ON (symbol, since) symbol, wanted_from, said_from, since FROM found ORDER BY symbol, since, wanted_from
)
UPDATE ticks_platform.feed_symbol AS known
SET wanted_from = since, said_from = nullif(first.said_from, since)
FROM first
WHERE known.feed = %(feed)s AND known.symbol = first.symbol AND known.wanted_from = first.wanted_from AND since <> known.wanted_from
    AND NOT EXISTS (
        SELECT FROM ticks_platform.feed_symbol AS other
        WHERE other.feed = known.feed AND other.symbol = known.symbol AND other.wanted_from = since
    );
