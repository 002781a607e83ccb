-- Everything of a killed owner's connection was rejected for a while: its coverage ends before that, and begins again after it.
WITH ended AS (
    UPDATE ticks_platform.feed_coverage SET ended_by = 'refused', computed = false
    WHERE feed = %(feed)s AND epoch = %(epoch)s AND connection = %(connection)s
        AND ended_by = 'killed' AND begins_at <= %(refused_at)s
    RETURNING feed, symbol, epoch, connection
)
INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection)
SELECT feed, symbol, %(accepted_at)s, %(accepted_at)s, 'killed', epoch, connection
FROM ended
ON CONFLICT (feed, symbol, begins_at, epoch, connection) DO NOTHING;
