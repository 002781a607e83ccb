-- Takes the repair lease of a feed if nobody holds it, and returns the new epoch.
INSERT INTO ticks_platform.feed_repair_lease AS held (feed, epoch, owner, taken_at, heartbeat_at)
VALUES (%(feed)s, 1, %(owner)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (feed) DO UPDATE SET
    epoch = held.epoch + 1,
    owner = excluded.owner,
    taken_at = excluded.taken_at,
    heartbeat_at = excluded.heartbeat_at,
    released_at = NULL
WHERE held.released_at IS NOT NULL OR held.owner = excluded.owner
    OR held.heartbeat_at < clock_timestamp() - make_interval(secs => %(alive)s)
RETURNING epoch;
