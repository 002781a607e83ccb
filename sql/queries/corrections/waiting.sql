-- The corrections of a feed in some days whose tick is not stored: mostly none, which the index tells at once. Those of other days,
-- whose tick may never come, are not read with every batch.
SELECT correction_id, time, symbol, exchange, trade_id, price, size, conditions
FROM tick_correction
WHERE feed = %(feed)s AND tick_id IS NULL
    AND time >= %(first)s AND time < %(last)s::timestamptz + INTERVAL '24 hours';
