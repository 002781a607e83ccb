-- Inserts official prices; a later one of the same session, kind and exchange replaces it. Tells of each whether it is new: xmax is 0
-- in a row that was inserted, and the updating transaction in one that was replaced.
INSERT INTO official_price ({columns}) VALUES %s
ON CONFLICT (symbol, session, kind, exchange, feed) DO UPDATE SET
    time = excluded.time, price = excluded.price, size = excluded.size, is_primary = excluded.is_primary,
    received_at = excluded.received_at
WHERE official_price.time <= excluded.time
RETURNING symbol, session, kind, exchange, xmax = 0;
