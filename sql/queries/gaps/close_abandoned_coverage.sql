-- Ends the coverage that owners up to an epoch have left open: with the last data of its connection that is loaded, less the time that
-- a frame may be in flight. Where it begins before now, by the database's clock, what arrived in the future
-- was dated by a clock that is ahead.
UPDATE ticks_platform.feed_coverage AS known
SET
    ends_at = greatest(known.begins_at, (
        SELECT last_data_at - %(in_flight)s FROM ticks_platform.feed_ledger AS ledger
        WHERE ledger.feed = known.feed AND ledger.epoch = known.epoch AND ledger.connection = known.connection
            AND clock_timestamp() + INTERVAL '1 second' NOT BETWEEN known.begins_at AND last_data_at
    )),
    ended_by = %(ended_by)s,
    computed = false
WHERE feed = %(feed)s AND epoch <= %(epoch)s AND ends_at IS NULL;
