-- Coverage of owners up to an epoch that begins after now, by the database's clock, was dated by a clock that is ahead, and nobody learned
-- by how much: it covers nothing. It stays as `killed`, so that it can be moved when their journal tells.
UPDATE ticks_platform.feed_coverage SET ends_at = begins_at, ended_by = 'killed', computed = false
WHERE feed = %(feed)s AND NOT computed AND epoch <= %(epoch)s AND ends_at > begins_at
    AND begins_at > clock_timestamp() + INTERVAL '1 second';
