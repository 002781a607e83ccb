-- Takes the lease of a feed, whoever holds it, and returns the new epoch.
INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at, journal_id)
VALUES (%(feed)s, 1, %(owner)s, clock_timestamp(), clock_timestamp(), %(journal_id)s)
ON CONFLICT (feed) DO UPDATE SET
    -- Above any epoch that is reserved for a successor: it has received frames under it.
    epoch = 1 + greatest(
        feed_lease.epoch,
        (SELECT max(planned.epoch) FROM ticks_platform.feed_handover AS planned WHERE planned.feed = feed_lease.feed)
    ),
    owner = excluded.owner,
    taken_at = excluded.taken_at,
    heartbeat_at = excluded.heartbeat_at,
    released_at = NULL,
    clock_trouble = NULL,
    journal_id = excluded.journal_id
RETURNING epoch;
