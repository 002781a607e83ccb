-- Who holds the lease of each of some feeds: as status.sql, with the feed in front.
SELECT
    feed,
    owner,
    epoch,
    heartbeat_at,
    released_at IS NOT NULL,
    extract(epoch FROM clock_timestamp() - heartbeat_at)::double precision,
    journal_id
FROM ticks_platform.feed_lease
WHERE feed = ANY (%(feeds)s);
