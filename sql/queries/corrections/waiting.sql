-- The corrections of a feed whose tick is not stored, for ticks of these symbols and ids.
SELECT correction_id, time, symbol, exchange, trade_id, price, size
FROM tick_correction
WHERE feed = %(feed)s AND tick_id IS NULL AND trade_id = ANY (%(trade_ids)s);
