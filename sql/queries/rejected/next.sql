-- The next rejected events of a feed after a position, locked; bytes of more than 4096 are read one by one. Those of an older release have the
-- connection with the most rejected ones.
SELECT journal_number, position, received_at, CASE WHEN octet_length(raw) <= 4096 THEN raw END AS raw, octet_length(raw) AS size, place, reason,
    coalesce(rejected.epoch, account.epoch) AS epoch, coalesce(rejected.connection, account.connection) AS connection,
    rejected.epoch IS NULL AS is_old
FROM ticks_platform.rejected_event AS rejected
CROSS JOIN (
    SELECT epoch, connection FROM ticks_platform.feed_ledger WHERE feed = %(feed)s ORDER BY rejected DESC LIMIT 1
) AS account
WHERE feed = %(feed)s AND received_at >= %(since)s AND (journal_number, position) > (%(journal)s, %(position)s)
ORDER BY journal_number, position
LIMIT %(limit)s
FOR UPDATE OF rejected;
