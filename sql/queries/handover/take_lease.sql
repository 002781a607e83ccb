-- Gives the lease of a feed to the successor, if its predecessor still holds it.
UPDATE ticks_platform.feed_lease
SET
    epoch = %(epoch)s,
    owner = %(successor)s,
    journal_id = %(journal)s,
    taken_at = clock_timestamp(),
    heartbeat_at = clock_timestamp(),
    released_at = NULL,
    clock_trouble = NULL
WHERE feed = %(feed)s AND epoch = %(predecessor_epoch)s;
