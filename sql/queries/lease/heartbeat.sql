-- Heartbeat of the holder of a lease. Returns whether the feed is enabled, and until when rejected ticks
-- were loaded again; no row when somebody else holds the lease.
UPDATE ticks_platform.feed_lease SET heartbeat_at = clock_timestamp()
WHERE feed = %(feed)s AND epoch = %(epoch)s AND owner = %(owner)s
RETURNING (SELECT enabled FROM ticks_platform.feed WHERE feed = feed_lease.feed), reloaded_until;
