-- Extends the coverage of connections whose owner was killed, up to the last data that was loaded from its journal since. Where it begins
-- before now, by the database's clock, what arrived in the future was dated by a clock that is ahead. If later data arrived long before
-- the end, the clock was set back in between, and it covers up to that data only.
UPDATE ticks_platform.feed_coverage AS known SET ends_at = given.ends_at, computed = false
FROM (VALUES %s) AS given (feed, epoch, connection, ends_at)
WHERE known.feed = given.feed AND known.epoch = given.epoch AND known.connection = given.connection
    AND known.ended_by = 'killed'
    AND clock_timestamp() + INTERVAL '1 second' NOT BETWEEN known.begins_at AND given.ends_at
    AND (known.ends_at < given.ends_at
        OR (known.ends_at > given.ends_at + INTERVAL '1 second' AND known.begins_at <= given.ends_at));
