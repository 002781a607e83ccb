-- Extends the coverage of connections whose owner was killed, up to the last data that was loaded from its journal since.
UPDATE ticks_platform.feed_coverage AS known SET ends_at = given.ends_at, computed = false
FROM (VALUES %s) AS given (feed, epoch, connection, ends_at)
WHERE known.feed = given.feed AND known.epoch = given.epoch AND known.connection = given.connection
    AND known.ended_by = 'killed' AND known.ends_at < given.ends_at;
