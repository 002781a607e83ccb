-- Who holds the lease of a feed: owner, epoch, last heartbeat, whether it is released, seconds since the heartbeat, journal.
SELECT
    owner,
    epoch,
    heartbeat_at,
    released_at IS NOT NULL,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::double precision,
    journal_id
FROM ticks_platform.feed_lease
WHERE feed = %(feed)s;
