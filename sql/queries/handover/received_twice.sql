-- The last hand-over into a journal, or its return (epoch below zero): feed, epoch, the positions that are left out (NULL until that is decided), the number of the
-- predecessor's journal, and when the predecessor's last frame arrived and the successor took the lease, in nanoseconds since the Unix epoch;
-- whether the predecessor was shut out of its copy, and knows of nothing.
SELECT
    planned.feed,
    planned.epoch,
    planned.left_out_positions,
    checkpoint.journal_number,
    (
        SELECT (extract(epoch FROM max(last_received_at)) * 1000000)::bigint * 1000
        FROM ticks_platform.feed_ledger AS ledger
        WHERE ledger.feed = planned.feed AND ledger.epoch = planned.predecessor_epoch
    ),
    (extract(epoch FROM planned.taken_at) * 1000000)::bigint * 1000,
    planned.predecessor = 'copied' AND planned.epoch > 0
FROM ticks_platform.feed_handover AS planned
LEFT JOIN ticks_platform.feed_checkpoint AS checkpoint ON checkpoint.journal_id = planned.predecessor_journal
WHERE planned.journal_id = %(journal_id)s
ORDER BY planned.begun_at DESC
LIMIT 1;
