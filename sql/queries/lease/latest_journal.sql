-- The journal that the frames of a feed were last appended to: that of the owner, or of a successor that never took over.
-- Locks the lease until the end of the transaction.
SELECT coalesce(
    (
        SELECT planned.journal_id
        FROM ticks_platform.feed_handover AS planned
        WHERE planned.feed = feed_lease.feed AND planned.epoch > feed_lease.epoch
        ORDER BY planned.epoch DESC
        LIMIT 1
    ),
    journal_id
)
FROM ticks_platform.feed_lease
WHERE feed = %(feed)s
FOR UPDATE;
