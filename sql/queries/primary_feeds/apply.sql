-- Marks ticks of secondary feeds, and no others. What their conditions allow, and that they were cancelled, stays. Symbols are named so
-- that only their part of a compressed chunk is unpacked.
UPDATE stocks_real_time
SET updates = CASE WHEN feed = ANY (%(secondary)s) THEN coalesce(updates, 7) | 16 ELSE nullif(updates & ~16, 7) END
WHERE time >= %(begin)s AND time < %(end)s AND symbol = ANY (%(symbols)s)
    AND (feed, symbol) IN (SELECT * FROM unnest(%(pair_feeds)s::text[], %(pair_symbols)s::text[]))
    AND (
        (feed = ANY (%(secondary)s) AND coalesce(updates, 0) & 16 = 0)
        OR (feed = ANY (%(primary)s) AND updates & 16 = 16)
    );
