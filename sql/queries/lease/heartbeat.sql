-- Heartbeat of the holder of a lease. Returns whether the feed is enabled, until when rejected ticks were loaded again, and whether a
-- successor on another machine waits for its end; no row when somebody else holds the lease.
UPDATE ticks_platform.feed_lease SET heartbeat_at = clock_timestamp()
WHERE feed = %(feed)s AND epoch = %(epoch)s AND owner = %(owner)s
RETURNING
    (SELECT enabled FROM ticks_platform.feed WHERE feed = feed_lease.feed),
    reloaded_until,
    EXISTS (
        SELECT FROM ticks_platform.feed_handover AS planned
        WHERE planned.feed = feed_lease.feed AND planned.epoch > feed_lease.epoch
            AND planned.predecessor_epoch = feed_lease.epoch AND planned.predecessor = feed_lease.owner AND planned.taken_at IS NOT NULL
    );
