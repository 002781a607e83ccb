-- Announces a hand-over and reserves an epoch for the successor; no row when the predecessor no longer holds the lease.
INSERT INTO ticks_platform.feed_handover
    (feed, epoch, successor, journal_id, predecessor, predecessor_epoch, predecessor_journal, begun_at)
SELECT
    lease.feed,
    1 + greatest(
        lease.epoch,
        (SELECT max(reserved.epoch) FROM ticks_platform.feed_handover AS reserved WHERE reserved.feed = lease.feed)
    ),
    %(owner)s,
    %(journal)s,
    lease.owner,
    lease.epoch,
    lease.journal_id,
    clock_timestamp()
FROM ticks_platform.feed_lease AS lease
WHERE lease.feed = %(feed)s AND lease.epoch = %(epoch)s
RETURNING epoch;
