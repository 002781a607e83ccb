-- Coverage of owners up to an epoch that begins after now, by the database's clock, was dated by a clock that is ahead, and nobody learned
-- by how much: it covers nothing. It stays as `killed`, so that it can be moved when their journal tells. If such an owner was the first
-- to want the symbol, what it missed is missed since then, by the server's clock.
WITH denied AS (
    UPDATE ticks_platform.feed_coverage SET ends_at = begins_at, ended_by = 'killed', computed = false
    WHERE feed = %(feed)s AND NOT computed AND epoch <= %(epoch)s AND ends_at > begins_at
        AND begins_at > clock_timestamp() + INTERVAL '1 second'
    RETURNING feed, symbol, epoch, connection
)
INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection)
SELECT feed, symbol, by_server, by_server, 'killed', epoch, connection
FROM denied
JOIN ticks_platform.feed_symbol USING (feed, symbol, epoch)
WHERE by_server IS NOT NULL
ON CONFLICT (feed, symbol, begins_at, epoch, connection) DO NOTHING;
