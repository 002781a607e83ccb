-- A killed owner's coverage began by a clock that turned out to be wrong: it begins by the corrected one. The begin that was said
-- stays as coverage without a length, so that the gaps around it are computed again. A begin that is nearer to the corrected arrivals than to
-- the wrong ones was corrected by the owner itself.
WITH wrong AS (
    UPDATE ticks_platform.feed_coverage SET ends_at = begins_at, ended_by = 'clock_stepped', computed = false
    WHERE feed = %(feed)s AND epoch = %(epoch)s AND connection = %(connection)s AND ended_by = 'killed'
        AND (begins_at < %(first)s - greatest(%(learned)s / 2, INTERVAL '1 second') OR begins_at > %(last)s)
    RETURNING feed, symbol, begins_at, epoch, connection
),
moved AS (
    SELECT feed, symbol, epoch, connection,
        CASE WHEN begins_at + %(learned)s BETWEEN %(first)s AND %(last)s THEN begins_at + %(learned)s ELSE %(first)s END AS begins_at
    FROM wrong
)
INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection)
SELECT feed, symbol, begins_at, begins_at, 'killed', epoch, connection FROM moved
ON CONFLICT (feed, symbol, begins_at, epoch, connection) DO NOTHING;
