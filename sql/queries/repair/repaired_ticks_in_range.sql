-- How many ticks of a symbol in a time came from repairs; the last four digits of a tick_id are the number of its journal.
SELECT count(*)
FROM stocks_real_time
WHERE feed = %(feed)s AND symbol = %(symbol)s AND time >= %(begin)s AND time < %(end)s AND right(tick_id::text, 4) IN (
    SELECT lpad(to_hex(journal_number), 4, '0')
    FROM ticks_platform.feed_checkpoint
    WHERE journal_id IN (SELECT journal_id FROM ticks_platform.feed_repair WHERE feed = %(feed)s)
);
